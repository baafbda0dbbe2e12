"""Planted papers and authors, one class a paper and several an author: of Aminer's form."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import softmax

from counterpoint.data.planted.config import PlantedGraphConfig, Rate, Size
from counterpoint.data.planted.draws import Floats, Ints
from counterpoint.data.planted.hidden_graph import HiddenGraph, PlantedRelation, Reals, hidden_graph
from counterpoint.data.planted.importance import Importance, at_cosine, weighed_signals
from counterpoint.data.planted.labels import calibrated_biases, probabilities
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.planted.tables import (
    graph_tables,
    node_types,
    static_relations,
    truth,
    write_node_tasks,
)
from counterpoint.data.schema import DataSchema, Split, Task, TaskKind


class AminerConfig(PlantedGraphConfig):
    """All dials of planted papers and authors.

    ``latent_width`` is the number of classes: a node hides a number for each. ``relatedness`` is
    the cosine of the relation importances of paper_class and author_classes; each of an author's
    classes has the rate ``class_rate``.
    """

    papers: Size = 20_000
    authors: Size = 8_000
    latent_width: Annotated[int, Field(ge=2, le=64)] = 4
    class_rate: Rate = 0.3
    signal_columns: Annotated[int, Field(ge=1)] = 8
    split: Split = Split(valid=0.1, test=0.1)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of nodes of each type."""
        return {"paper": self.papers, "author": self.authors}


RELATIONS = {
    "written_by": PlantedRelation("paper", "author", 3),
    "cites": PlantedRelation("paper", "paper", 3),
    "coauthor": PlantedRelation("author", "author", 3),
}

# by which relations a signal reaches the task's nodes; columns of both are the relations above
PAPER_PATHS = {
    "written_by": ("rev-written_by",),
    "cites": ("rev-cites",),
    "coauthor": ("rev-coauthor", "rev-written_by"),
}
AUTHOR_PATHS = {
    "written_by": ("written_by",),
    "cites": ("rev-cites", "written_by"),
    "coauthor": ("rev-coauthor",),
}

# Two orthonormal directions in the space of relations.
_BY_PAPER = np.array([1, 1, 0]) / np.sqrt(2)
_BY_COLLEAGUE = np.array([0, 0, 1])


def signal_importance(relatedness: float) -> Importance:
    """Unit vectors of the tasks, by relation; their cosine is ``relatedness``."""
    vectors = {
        "paper_class": _BY_PAPER,
        "author_classes": at_cosine(_BY_PAPER, _BY_COLLEAGUE, relatedness),
    }
    return {task: dict(zip(RELATIONS, v.tolist(), strict=True)) for task, v in vectors.items()}


def aminer_schema(config: AminerConfig) -> DataSchema:
    """``dataset.yaml``: both tasks are targets."""
    classes = config.latent_width
    return DataSchema(
        name="planted_aminer",
        description="Papers and authors with a planted truth: what each relation is worth.",
        node_types=node_types(config),
        relations=static_relations(RELATIONS),
        tasks={
            "paper_class": Task(kind=TaskKind.MULTICLASS, entity="paper", classes=classes),
            "author_classes": Task(kind=TaskKind.MULTILABEL, entity="author", classes=classes),
        },
        split=config.split,
    )


def class_logits(config: AminerConfig, graph: HiddenGraph) -> dict[str, Reals]:
    """Logits without bias ``[nodes, classes]`` of each task, of deviation 1 / temperature."""
    paths = {"paper_class": PAPER_PATHS, "author_classes": AUTHOR_PATHS}
    importance = signal_importance(config.relatedness)
    logits: dict[str, Reals] = {}
    for task, by_signal in paths.items():
        own = {task: importance[task]}
        logits |= weighed_signals(graph, by_signal, own, config.temperature)
    return logits


def write_aminer(config: AminerConfig, target_folder: Path) -> None:
    """Write the data set of ``config`` into the existing, empty ``target_folder``."""
    import polars as pl

    graph = hidden_graph(config, RELATIONS)
    logits = class_logits(config, graph)
    paper_bayes = softmax(logits["paper_class"], axis=1)
    paper_class = _drawn_classes(paper_bayes, random_stream(config.seed, "labels", "paper"))

    by_class = {str(c): column for c, column in enumerate(logits["author_classes"].T)}
    biases = calibrated_biases(by_class, dict.fromkeys(by_class, config.class_rate), {})
    author_bayes = np.stack(list(probabilities(by_class, biases, {}).values()), axis=1)
    uniform = random_stream(config.seed, "labels", "author").random(author_bayes.shape, np.float32)
    has_class = uniform < author_bayes
    author_classes = [np.flatnonzero(row) for row in has_class]

    bias = {"paper_class": [0.0] * config.latent_width, "author_classes": list(biases.values())}
    shares = np.bincount(paper_class, minlength=config.latent_width) / config.papers
    rates = {
        "paper_class": _rates(paper_bayes, shares),
        "author_classes": _rates(author_bayes, has_class.mean(0)),
    }
    rows = {
        "paper_class": (pl.Series(paper_class), paper_bayes),
        "author_classes": (pl.Series(author_classes, dtype=pl.List(pl.Int64)), author_bayes),
    }
    found = truth(config, signal_importance(config.relatedness), bias, rates)
    found["paths"] = {"paper_class": PAPER_PATHS, "author_classes": AUTHOR_PATHS}
    tables = graph_tables(config, graph)
    write_node_tasks(config, target_folder, aminer_schema(config), tables, rows, found)


def _drawn_classes(bayes: Reals, generator: np.random.Generator) -> Ints:
    """A class a row ``[n]``, by inverting the cumulative distribution."""
    uniform = generator.random((len(bayes), 1), np.float32)
    drawn: Ints = (uniform >= bayes.cumsum(axis=1)[:, :-1]).sum(axis=1, dtype=np.int64)
    return drawn


def _rates(bayes: Reals, achieved: Floats) -> dict[str, list[float]]:
    """Expected and achieved share of each class."""
    expected = bayes.mean(axis=0, dtype=np.float64)
    return {"expected": expected.tolist(), "achieved": achieved.tolist()}
