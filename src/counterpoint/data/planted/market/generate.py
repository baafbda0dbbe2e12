"""Write a planted market as a data-set folder with its truth, a block of impressions at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint.data.folder import write_folder
from counterpoint.data.planted.hidden_graph import hidden_graph
from counterpoint.data.planted.labels import drawn_labels, probabilities
from counterpoint.data.planted.market.config import MarketConfig
from counterpoint.data.planted.market.exposure import Exposure, planned_exposure
from counterpoint.data.planted.market.importance import RELATIONS, relation_importance
from counterpoint.data.planted.market.pair_logits import PairLogits, market_biases, pair_logits
from counterpoint.data.planted.streams import random_stream
from counterpoint.data.planted.tables import (
    SECONDS,
    graph_tables,
    node_types,
    static_relations,
    truth,
)
from counterpoint.data.schema import DataSchema, Relation, Task, TaskKind
from counterpoint.files import write_json

Columns = Mapping[str, npt.NDArray[Any]]


def market_schema(config: MarketConfig) -> DataSchema:
    """``dataset.yaml`` of a planted market: all three tasks are targets on the same impressions."""
    pair = ("user", "item")
    return DataSchema(
        name="planted",
        description="A marketplace with a planted truth: what each relation is worth to each task.",
        node_types=node_types(config),
        relations={**static_relations(RELATIONS), "clicked": Relation(from_task="click")},
        tasks={
            "click": Task(kind=TaskKind.BINARY, entity=pair),
            "conversion": Task(
                kind=TaskKind.BINARY, entity=pair, parent=config.parents.get("conversion")
            ),
            "complaint": Task(kind=TaskKind.BINARY, entity=pair),
        },
        split=config.split,
    )


def write_market(
    config: MarketConfig,
    target_folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the data set of ``config`` into the existing, empty ``target_folder``.

    Impressions are streamed in blocks of a fixed number of rows, so that memory grows with the
    nodes and not with the impressions.

    Args:
        config: the dials.
        target_folder: where to write.
        progress: called after each block with impressions written and impressions in all.

    Raises:
        UserError: the busiest user would see more than half of the items.
    """
    exposure = planned_exposure(config)
    market = hidden_graph(config, RELATIONS)
    logits = pair_logits(config, market)
    biases = market_biases(config, exposure, logits)
    write_folder(target_folder, market_schema(config), graph_tables(config, market))
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
    importance = relation_importance(config.relatedness, config.kinship)
    found = truth(config, importance, biases, rates)
    write_json(target_folder / "truth" / "truth.json", found)


def impressions(
    config: MarketConfig,
    exposure: Exposure,
    logits: PairLogits,
    biases: Mapping[str, float],
    block: int,
) -> dict[str, tuple[Columns, npt.NDArray[np.float32]]]:
    """Each task's rows of one block and their Bayes probabilities; no block depends on another."""
    users, items = exposure.pairs(block)
    of_task = {task: logits.of(task, users, items) for task in biases}
    bayes = probabilities(of_task, biases, config.parents)
    labels = drawn_labels(bayes, config.parents, random_stream(config.seed, "labels", block))
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
