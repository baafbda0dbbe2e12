"""Which split each task row belongs to: one split an entity, across all tasks.

Splits are assigned from the entities and their times alone, never from labels.
"""

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import DataSchema, Task

if TYPE_CHECKING:
    import polars as pl

SPLITS = ("train", "valid", "test")
_ORDER = {name: place for place, name in enumerate(SPLITS)}


def mixed_bits(values: np.ndarray) -> np.ndarray:
    """SplitMix64 finaliser: a uniform 64-bit hash of each unsigned integer (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        bits = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))


def entity_uniform(columns: list[np.ndarray], seed: int) -> np.ndarray:
    """A uniform number in [0, 1) for each entity, a function of (entity, seed) alone.

    Args:
        columns: one index array ``[n]`` for node entities, two for pairs.
        seed: of the split.
    """
    bits = mixed_bits(np.full(len(columns[0]), seed, dtype=np.uint64))
    for column in columns:
        bits = mixed_bits(bits ^ column.astype(np.uint64))
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def node_index(folder: DataFolder, node_type: str) -> "pl.LazyFrame":
    """``id`` and its ``row`` (place in the node table) for one node type."""
    return folder.scan(f"nodes/{node_type}").select("id").with_row_index("row")


def indexed_rows(folder: DataFolder, task_name: str) -> "pl.LazyFrame":
    """The rows of a task in table order, with ``row_<column>`` for each id column."""
    task = folder.schema.tasks[task_name]
    rows = folder.scan(f"tasks/{task_name}")
    for column, node_type in zip(task.id_columns, task.node_types, strict=True):
        index = node_index(folder, node_type).rename({"id": column, "row": f"row_{column}"})
        rows = rows.join(index, on=column, how="left", maintain_order="left")
    return rows


def _split_name(place: "pl.Expr") -> "pl.Expr":
    import polars as pl

    return place.replace_strict(
        {place: name for name, place in _ORDER.items()}, return_dtype=pl.String
    )


def _random(rows: "pl.LazyFrame", task: Task, schema: DataSchema) -> "pl.LazyFrame":
    import polars as pl

    split = schema.split
    keys = [pl.col(f"row_{column}").fill_null(0) for column in task.id_columns]

    def places(struct: "pl.Series") -> "pl.Series":
        columns = [struct.struct.field(name).to_numpy() for name in struct.struct.fields]
        u = entity_uniform(columns, split.seed)
        return pl.Series((u < split.test).astype(np.int8) + (u < split.test + split.valid))

    place = pl.struct(keys).map_batches(places, return_dtype=pl.Int8, is_elementwise=True)
    return rows.with_columns(split=_split_name(place))


def _entity_tables(folder: DataFolder, like: Task) -> dict[str, "pl.LazyFrame"]:
    """Tables of the tasks on the same entity as ``like``: they share one split."""
    tasks = folder.schema.tasks.items()
    return {
        name: folder.scan(f"tasks/{name}") for name, t in tasks if t.node_types == like.node_types
    }


def _by_time(folder: DataFolder, task: Task) -> "pl.LazyFrame":
    """Entity and split: an entity stands where its latest row does, so training ends in time."""
    import polars as pl

    split, keys = folder.schema.split, list(task.id_columns)
    latest = (
        pl.concat([t.select(*keys, "time") for t in _entity_tables(folder, task).values()])
        .group_by(keys)
        .agg(pl.col("time").max())
    )
    times = pl.concat([folder.scan(f"tasks/{name}").select("time") for name in folder.schema.tasks])
    valid_from, test_from = (
        times.select(
            pl.col("time").quantile(1 - split.test - split.valid, "higher").alias("valid"),
            pl.col("time").quantile(1 - split.test, "higher").alias("test"),
        )
        .collect()
        .row(0)
    )
    place = (pl.col("time") >= valid_from).cast(pl.Int8) + (pl.col("time") >= test_from)
    return latest.select(*keys, split=_split_name(place.cast(pl.Int8)))


def _leave_last_out(folder: DataFolder, task: Task) -> "pl.LazyFrame":
    """Entity and split: each source's last entity of a task to test, the one before to valid."""
    import polars as pl

    keys = list(task.id_columns)
    from_end = (
        pl.struct("time", *keys[1:]).rank("ordinal", descending=True).over(keys[0]).cast(pl.Int64)
    )
    held = [
        table.select(*keys, "time")
        .filter(pl.len().over(keys[0]) >= 3)
        .with_columns(place=pl.max_horizontal(3 - from_end, 0).cast(pl.Int8))
        for table in _entity_tables(folder, task).values()
    ]
    strictest = pl.concat(held).group_by(keys).agg(pl.col("place").max())
    return strictest.select(*keys, split=_split_name(pl.col("place")))


def assigned_rows(folder: DataFolder, task_name: str) -> "pl.LazyFrame":
    """The task's rows in table order with ``split`` and ``row_<id column>`` beside its columns."""
    import polars as pl

    schema = folder.schema
    task = schema.tasks[task_name]
    rows = indexed_rows(folder, task_name)
    if schema.split.by == "given":
        return rows
    rows = rows.drop("split", strict=False)
    if schema.split.by == "random":
        return _random(rows, task, schema)
    by = _by_time if schema.split.by == "time" else _leave_last_out
    keys = list(task.id_columns)
    return rows.join(by(folder, task), on=keys, how="left", maintain_order="left").with_columns(
        pl.col("split").fill_null("train")
    )
