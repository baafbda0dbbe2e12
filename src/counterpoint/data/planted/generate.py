"""Write a planted market as a data-set folder with its truth, a block of impressions at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from counterpoint.data.folder import write_folder
from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.exposure import Exposure, planned_exposure
from counterpoint.data.planted.importance import RELATIONS, relation_importance
from counterpoint.data.planted.labels import (
    PairLogits,
    calibrated_biases,
    drawn_labels,
    pair_logits,
    probabilities,
)
from counterpoint.data.planted.market import Market, node_features, planted_market
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.schema import (
    DataSchema,
    Feature,
    FeatureKind,
    NodeType,
    Relation,
    Task,
    TaskKind,
)
from counterpoint.files import write_json

if TYPE_CHECKING:
    import polars as pl

SECONDS = 30 * 24 * 3600  # impressions spread evenly over a month

Columns = Mapping[str, npt.NDArray[Any]]


def planted_schema(config: PlantedConfig) -> DataSchema:
    """``dataset.yaml`` of a planted market: all three tasks are targets on the same impressions."""
    width = config.signal_columns + config.noise_columns
    features = tuple(Feature(name=f"x{i}", kind=FeatureKind.NUMERIC) for i in range(width))
    pair = ("user", "item")
    return DataSchema(
        name="planted",
        description="A marketplace with a planted truth: what each relation is worth to each task.",
        node_types={node_type: NodeType(features=features) for node_type in config.sizes},
        relations={
            **{name: Relation(src=head, dst=tail) for name, (head, tail) in RELATIONS.items()},
            "clicked": Relation(from_task="click"),
        },
        tasks={
            "click": Task(kind=TaskKind.BINARY, entity=pair),
            "conversion": Task(kind=TaskKind.BINARY, entity=pair, parent="click"),
            "complaint": Task(kind=TaskKind.BINARY, entity=pair),
        },
        split=config.split,
    )


def generate(
    config: PlantedConfig,
    target_folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the data set of ``config`` into the existing, empty ``target_folder``.

    Impressions are streamed in blocks of a fixed number of rows, so that memory grows with the
    nodes and not with the impressions. The same dials give the same bytes, on the same machine
    and with the same libraries. Call it inside :func:`counterpoint.files.new_folder`.

    Args:
        config: the dials.
        target_folder: where to write.
        progress: called after each block with impressions written and impressions in all.

    Raises:
        UserError: the busiest user would see more than half of the items.
    """
    exposure = planned_exposure(config)
    market = planted_market(config)
    logits = pair_logits(config, market)
    biases = calibrated_biases(config, exposure, logits)
    write_folder(target_folder, planted_schema(config), _small_tables(config, market))
    positives = dict.fromkeys(biases, 0)
    expected = dict.fromkeys(biases, 0.0)
    written = 0
    with _table_writers(target_folder, tuple(biases)) as write:
        for block in range(len(exposure.blocks)):
            for task, (rows, bayes) in impressions(config, exposure, logits, biases, block).items():
                write(f"tasks/{task}", rows)
                write(f"truth/{task}", {"src": rows["src"], "dst": rows["dst"], "bayes": bayes})
                positives[task] += int(rows["label"].sum())
                expected[task] += float(bayes.sum(dtype=np.float64))
            written += len(rows["src"])
            if progress is not None:
                progress(written, config.interactions)
    rates = {
        task: {
            "expected": expected[task] / written,
            "achieved": positives[task] / written,
        }
        for task in biases
    }
    write_json(target_folder / "truth" / "truth.json", _truth(config, biases, rates))


def impressions(
    config: PlantedConfig,
    exposure: Exposure,
    logits: PairLogits,
    biases: Mapping[str, float],
    block: int,
) -> dict[str, tuple[Columns, npt.NDArray[np.float32]]]:
    """Each task's rows of one block and their Bayes probabilities; no block depends on another."""
    users, items = exposure.pairs(block)
    bayes = probabilities({task: logits.of(task, users, items) for task in biases}, biases)
    labels = drawn_labels(bayes, random_stream(config.seed, "labels", block))
    time = random_stream(config.seed, "time", block).integers(0, SECONDS, len(users), np.int64)
    return {
        task: ({"src": users, "dst": items, "label": labels[task], "time": time}, bayes[task])
        for task in bayes
    }


@contextmanager
def _table_writers(
    folder: Path, tasks: tuple[str, ...]
) -> Iterator[Callable[[str, Columns], None]]:
    """Yield what appends columns, as one row group, to a table of a task or of its truth."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    pair = {"src": pa.int64(), "dst": pa.int64()}
    schemas = {
        "tasks": pa.schema({**pair, "label": pa.int8(), "time": pa.int64()}),
        "truth": pa.schema({**pair, "bayes": pa.float32()}),
    }
    with ExitStack() as stack:
        writers = {}
        for place, schema in schemas.items():
            (folder / place).mkdir()
            for task in tasks:
                path = folder / place / f"{task}.parquet"
                writers[f"{place}/{task}"] = stack.enter_context(ParquetWriter(path, schema))

        def write(table: str, columns: Columns) -> None:
            writers[table].write_table(pa.table(dict(columns), schema=writers[table].schema))

        yield write


def _small_tables(config: PlantedConfig, market: Market) -> "dict[str, pl.DataFrame]":
    """Node and static relation tables."""
    import polars as pl

    tables = {}
    for node_type, size in config.sizes.items():
        features = node_features(config, market, node_type)
        columns = {f"x{i}": column for i, column in enumerate(features.T)}
        tables[f"nodes/{node_type}"] = pl.DataFrame({"id": np.arange(size), **columns})
    for name, (src, dst) in market.edges.items():
        tables[f"relations/{name}"] = pl.DataFrame({"src": src, "dst": dst})
    return tables


def _truth(
    config: PlantedConfig, biases: Mapping[str, float], rates: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    importance = relation_importance(config.relatedness, config.kinship)
    return {
        "dials": config.model_dump(mode="json"),
        "importance": {
            task: dict(zip(RELATIONS, weights.tolist(), strict=True))
            for task, weights in importance.items()
        },
        "cosine": {
            task: {other: float(weights @ importance[other]) for other in importance}
            for task, weights in importance.items()
        },
        "bias": dict(biases),
        "rate": rates,
    }
