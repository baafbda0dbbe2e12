"""Planted clicks on a table without a graph, and a second task made of their confidence.

Stand-ins for DEPHN's artificial data sets Criteo-R and Criteo-UR. There the confidence of a click
is the logit of a network fitted on Criteo, here a random network gives it.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import expit, xlogy
from scipy.stats import norm, rankdata

from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.draws import Floats, Ints, zipf_popularity
from counterpoint.data.planted.labels import Reals, drawn_labels
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.planted.tables import write_node_tasks
from counterpoint.data.schema import (
    DataSchema,
    Feature,
    FeatureKind,
    NodeType,
    Split,
    Task,
    TaskKind,
)

FIRST = "click"

FEWEST_VALUES, MOST_VALUES = 10, 1000  # of a field
HIDDEN_UNITS = 64
MEAN, DEVIATION, BOUND = -0.75, 1.5, 4.0  # of a click's confidence, normal and clipped
NOISE = 0.1  # its standard deviation, in the related confidence


class CriteoConfig(PlantedConfig):
    """All dials of a planted click log.

    ``fields`` categorical features have 10 to 1000 values, evenly on a log scale; ``skew`` is that
    of the values. ``second`` is the task beside click. A label is positive with the probability
    sigmoid(confidence / ``temperature``); at 0 it is whether the confidence is positive, as in the
    paper.
    """

    rows: Annotated[int, Field(ge=1000)] = 100_000
    fields: Annotated[int, Field(ge=4, le=64)] = 16
    second: Literal["related", "unrelated"] = "related"
    temperature: Annotated[float, Field(ge=0, le=20)] = 1.0
    split: Split = Split(valid=0.1, test=0.2)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of nodes of each type."""
        return {"impression": self.rows}

    @property
    def field_sizes(self) -> list[int]:
        """Number of values of each field."""
        sizes: list[int] = np.geomspace(FEWEST_VALUES, MOST_VALUES, self.fields).round().tolist()
        return [int(size) for size in sizes]


def criteo_schema(config: CriteoConfig) -> DataSchema:
    """``dataset.yaml``: both tasks are targets."""
    features = tuple(
        Feature(name=f"f{k}", kind=FeatureKind.CATEGORICAL) for k in range(config.fields)
    )
    return DataSchema(
        name=f"planted_criteo_{config.second}",
        description="Impressions of categorical fields; a table without a graph.",
        node_types={"impression": NodeType(features=features)},
        tasks={
            task: Task(kind=TaskKind.BINARY, entity="impression") for task in (FIRST, config.second)
        },
        split=config.split,
    )


def field_values(config: CriteoConfig) -> Ints:
    """The value of each field ``[rows, fields]``, independent of each other."""
    columns = []
    for k, size in enumerate(config.field_sizes):
        generator = random_stream(config.seed, "field", k)
        popularity = zipf_popularity(size, config.skew, generator)
        columns.append(generator.choice(size, config.rows, p=popularity))
    return np.stack(columns, axis=1)


def network_output(config: CriteoConfig, values: Ints) -> Floats:
    """What a random network of two layers makes of fields ``[n, fields]``: ``[n]``.

    Its input is each field one-hot, its hidden units are rectified, its weights depend on the seed
    alone.
    """
    hidden = np.zeros((len(values), HIDDEN_UNITS), np.float32)
    for k, size in enumerate(config.field_sizes):
        generator = random_stream(config.seed, "network", k)
        weights = generator.standard_normal((size, HIDDEN_UNITS), np.float32)
        hidden += weights[values[:, k]]
    outer = random_stream(config.seed, "network", "output").standard_normal(HIDDEN_UNITS)
    output: Floats = np.einsum("nh,h->n", np.maximum(hidden, 0), outer)
    return output


def click_confidence(output: Floats) -> Floats:
    """``output [n]`` by the monotone map that makes a clipped normal of it; equals stay equal."""
    quantiles = (rankdata(output) - 0.5) / len(output)
    confidence: Floats = np.clip(norm.ppf(quantiles, MEAN, DEVIATION), -BOUND, BOUND)
    return confidence


def second_confidence(config: CriteoConfig, c: Floats) -> Floats:
    """The confidence ``[rows]`` of the second task where that of a click is ``c [rows]``.

    ``sign(c) (2 ln(|c| + 1) + 0.1 e^|c|) + noise`` if related, ``sign(c) (2 sin|c| + 0.1 cos|c|)``
    if not. In print the first sign is the logarithm's alone, whose correlation with c is not the
    published one.
    """
    size = np.abs(c)
    if config.second == "unrelated":
        return np.sign(c) * (2 * np.sin(size) + 0.1 * np.cos(size))
    noise = NOISE * random_stream(config.seed, "noise").standard_normal(len(c))
    return np.sign(c) * (2 * np.log1p(size) + 0.1 * np.exp(size)) + noise


def positive_probability(confidence: Floats, temperature: float) -> Reals:
    """The probability ``[n]`` that a label is drawn with; of 0 or 1 at temperature 0."""
    drawn = expit(confidence / temperature) if temperature else confidence > 0
    probability: Reals = drawn.astype(np.float32)
    return probability


def write_criteo(config: CriteoConfig, target_folder: Path) -> None:
    """Write the data set of ``config`` into the existing, empty ``target_folder``."""
    import polars as pl

    values = field_values(config)
    c = click_confidence(network_output(config, values))
    confidence = {FIRST: c, config.second: second_confidence(config, c)}
    bayes = {
        task: positive_probability(found, config.temperature) for task, found in confidence.items()
    }
    labels = drawn_labels(bayes, {}, random_stream(config.seed, "labels"))
    columns = {f"f{k}": column for k, column in enumerate(values.T)}
    tables = {"nodes/impression": pl.DataFrame({"id": np.arange(config.rows), **columns})}
    rows = {task: (pl.Series(labels[task]), bayes[task]) for task in bayes}
    found = {
        "dials": config.model_dump(mode="json"),
        "correlation": {
            "confidences": float(np.corrcoef(list(confidence.values()))[0, 1]),
            "labels": float(np.corrcoef(list(labels.values()))[0, 1]),  # of binary ones: phi
        },
        "rate": {task: _rates(labels[task], bayes[task]) for task in bayes},
        "bayes": {task: _scores(labels[task], bayes[task]) for task in bayes},
    }
    write_node_tasks(config, target_folder, criteo_schema(config), tables, rows, found)


def _rates(label: npt.NDArray[np.int8], bayes: Reals) -> dict[str, float]:
    return {"expected": float(bayes.mean(dtype=np.float64)), "achieved": float(label.mean())}


def _scores(label: npt.NDArray[np.int8], bayes: Reals) -> dict[str, float]:
    """Of the probabilities that the labels were drawn with."""
    n_positive, n_negative = label.sum(dtype=np.int64), (1 - label).sum(dtype=np.int64)
    below = rankdata(bayes)[label == 1].sum() - n_positive * (n_positive + 1) / 2
    loss = xlogy(label, bayes) + xlogy(1 - label, 1 - bayes)
    return {
        "auc": float(below / (n_positive * n_negative)),
        "logloss": -float(loss.mean(dtype=np.float64)),
    }
