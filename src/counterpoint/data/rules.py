"""The rules that the tables of a data set must keep, as lazy queries that count what breaks them.

They live here once: :mod:`counterpoint.data.checks` prints what breaks them, with an example;
:mod:`counterpoint.validation` lets Great Expectations judge the counts. polars' streaming engine
runs them, so memory is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import SCHEMA_FILE, DataSchema, Feature, FeatureKind, Task, TaskKind
from counterpoint.data.splits import SPLITS

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class RowRule:
    """A rule that each row of a table keeps on its own; ``broken`` is true on rows that do not."""

    check: str
    column: str
    broken: "pl.Expr"
    fault: str
    advice: str


def column_kinds(folder: DataFolder, table: str) -> dict[str, str]:
    """What each required column holds: id, time, split, or the kind of its feature or task."""
    group, name = table.split("/", 1)
    kinds = {"src": "id", "dst": "id", "time": "time", "split": "split"}
    if group == "nodes":
        kinds = {f.name: f.kind.value for f in folder.schema.node_types[name].features}
    elif group == "tasks":
        kinds["label"] = folder.schema.tasks[name].kind.value
    kinds["id"] = "id"
    return {column: kinds[column] for column in folder.columns(table)}


def end_columns(schema: DataSchema, table: str) -> dict[str, str]:
    """The columns of a relation or task that hold node ids, and the node type of each."""
    folder, name = table.split("/", 1)
    if folder == "nodes":
        return {}
    if folder == "relations":
        return dict(zip(("src", "dst"), schema.ends(name), strict=True))
    task = schema.tasks[name]
    return dict(zip(task.id_columns, task.node_types, strict=True))


def key_columns(schema: DataSchema, table: str) -> list[str]:
    """The columns that name a row: the id of a node, the ends of an edge, a task's entity."""
    return ["id"] if table.startswith("nodes/") else list(end_columns(schema, table))


def row_rules(folder: DataFolder, table: str, columns: Sequence[str]) -> list[RowRule]:
    """The rules on single rows of a structurally sound table that has these columns."""
    group, name = table.split("/", 1)
    rules = []
    for column, kind in column_kinds(folder, table).items():
        rules.append(_null_rule(column, kind))
        if group == "tasks" and column == "label":
            rules.append(_label_rule(folder.schema.tasks[name]))
        elif kind in ("numeric", "time"):
            rules.append(_finite_rule(column))
        elif kind == "split":
            rules.append(_split_rule())
        elif kind in ("vector", "bag"):
            features = folder.schema.node_types[name].features
            rules += _list_rules(next(f for f in features if f.name == column))
    if group == "relations" and "weight" in columns:
        rules += [_null_rule("weight", "weight"), _finite_rule("weight")]
    return rules


def broken_counts(rows: "pl.LazyFrame", rules: Sequence[RowRule]) -> tuple[int, list[int]]:
    """Number of rows, and for each rule the number that break it: one pass over the table."""
    import polars as pl

    broken = [rule.broken.fill_null(False).sum().alias(str(i)) for i, rule in enumerate(rules)]
    total, *counts = rows.select(pl.len(), *broken).collect(engine="streaming").row(0)
    return total, counts


def dangling_ids(folder: DataFolder, table: str, column: str) -> "pl.LazyFrame":
    """The ids in a relation's or task's column, one a row, that its node table does not have."""
    import polars as pl

    node_type = end_columns(folder.schema, table)[column]
    ids = folder.scan(table).select(pl.col(column).alias("id")).drop_nulls()
    return ids.join(folder.scan(f"nodes/{node_type}").select("id"), on="id", how="anti")


def repeated_keys(folder: DataFolder, table: str) -> "pl.LazyFrame":
    """The keys that stand in more than one row, with ``extra``: how many rows too many."""
    import polars as pl

    keys = key_columns(folder.schema, table)
    counts = folder.scan(table).select(keys).drop_nulls().group_by(keys).agg(extra=pl.len() - 1)
    return counts.filter(pl.col("extra") > 0)


def positive_rows(rows: "pl.LazyFrame", task: Task) -> "pl.LazyFrame":
    """The positives of a binary task; all rows of a link task."""
    import polars as pl

    if task.kind is TaskKind.LINK:
        return rows
    return rows.filter(pl.col("label").cast(pl.Float64) == 1)


def split_counts(rows: "pl.LazyFrame", task: Task) -> dict[str, tuple[int, int]]:
    """For each split the number of rows and, for a binary task, of positives (else 0)."""
    import polars as pl

    binary = task.kind is TaskKind.BINARY
    positive = (pl.col("label").cast(pl.Float64) == 1).sum() if binary else pl.lit(0)
    found = rows.group_by("split").agg(rows=pl.len(), positives=positive)
    counts = {row[0]: row[1:] for row in found.collect(engine="streaming").iter_rows()}
    return {name: counts.get(name, (0, 0)) for name in SPLITS}


def _null_rule(column: str, kind: str) -> RowRule:
    import polars as pl

    advice = {
        "id": "give each row an id or drop it",
        "numeric": "fill them",
        "categorical": "fill them, with a value of their own if missing means something",
        "vector": "fill them",
        "bag": "write an empty list for no token",
        "multilabel": "drop the row, or write an empty list if no class applies",
        "weight": "fill them, with 1 if unknown",
    }.get(kind, "fill them or drop the rows")
    return RowRule("null", column, pl.col(column).is_null(), "null", advice)


def _finite_rule(column: str) -> RowRule:
    import polars as pl

    broken = ~pl.col(column).cast(pl.Float64).is_finite()
    return RowRule("non_finite", column, broken, "not finite", "replace NaN and infinity")


def _split_rule() -> RowRule:
    import polars as pl

    broken = ~pl.col("split").is_in(SPLITS)
    return RowRule("split_value", "split", broken, "not train, valid or test", "rename them")


def _list_rules(feature: Feature) -> list[RowRule]:
    import polars as pl

    name, size = feature.name, int(feature.size or 0)
    advice = f"correct them or size in {SCHEMA_FILE}"
    if feature.kind is FeatureKind.BAG:
        broken = ~_each(name, pl.element().is_between(0, size - 1))
        return [RowRule("token_range", name, broken, f"with a token outside 0..{size - 1}", advice)]
    length = pl.col(name).cast(pl.List(pl.Float64)).list.len()
    broken = ~_each(name, pl.element().is_finite())
    fault = "with an entry that is null or not finite"
    return [
        RowRule("vector_length", name, length != size, f"not of length {size}", advice),
        RowRule("non_finite", name, broken, fault, "replace null, NaN and infinity"),
    ]


def _label_rule(task: Task) -> RowRule:
    import polars as pl

    last = int(task.classes or 0) - 1
    number = pl.col("label").cast(pl.Float64)
    advice = "correct them or drop the rows"
    if task.classes is not None:
        advice = f"correct them or classes in {SCHEMA_FILE}"
    holds, fault = {
        TaskKind.BINARY: (number.is_in([0.0, 1.0]), "neither 0 nor 1"),
        TaskKind.REGRESSION: (number.is_finite(), "not finite"),
        TaskKind.MULTICLASS: (number.is_between(0, last), f"outside 0..{last}"),
        TaskKind.MULTILABEL: (
            _each("label", pl.element().is_between(0, last)),
            f"with a class outside 0..{last}",
        ),
    }[task.kind]
    return RowRule("label_domain", "label", ~holds, fault, advice)


def _each(column: str, holds: "pl.Expr") -> "pl.Expr":
    """Whether ``holds`` is true of every entry of a list column."""
    import polars as pl

    entries = pl.col(column).cast(pl.List(pl.Float64))
    return entries.list.eval(holds.fill_null(False)).list.all()
