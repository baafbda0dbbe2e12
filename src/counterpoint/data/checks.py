"""What is wrong with a data-set folder, one line a fault: ``counterpoint data check`` prints it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.data.folder import DataFolder
from counterpoint.data.rules import (
    broken_counts,
    column_kinds,
    dangling_ids,
    end_columns,
    key_columns,
    repeated_keys,
    row_rules,
    split_counts,
)
from counterpoint.data.schema import SCHEMA_FILE, TaskKind
from counterpoint.data.splits import SPLITS
from counterpoint.errors import UserError

if TYPE_CHECKING:
    import polars as pl

_OPTIONAL = {
    "nodes": {},
    "relations": {"time": "time", "weight": "weight"},
    "tasks": {"time": "time"},
}
_TYPE_WORDS = {
    "id": "integer or string",
    "numeric": "a number",
    "categorical": "integer, string or boolean",
    "vector": "a list of numbers",
    "bag": "a list of integers",
    "binary": "a number or boolean",
    "multiclass": "integer",
    "multilabel": "a list of integers",
    "regression": "a number",
    "time": "a number, date or datetime",
    "weight": "a number",
    "split": "string",
}


def faults(folder: DataFolder) -> list[str]:
    """Every fault of the folder's files, one line each; an empty list means sound."""
    return stray_files(folder) + table_faults(folder)


def table_faults(folder: DataFolder) -> list[str]:
    """Every fault of the tables that the schema asks for, one line each."""
    structure = structure_faults(folder)
    found = [line for lines in structure.values() for line in lines]
    sound = [table for table, lines in structure.items() if not lines]
    for table in sound:
        try:
            with readable(folder.table_path(table)):
                found += _value_faults(folder, table, sound)
        except UserError as fault:
            found += fault.faults
    return found


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn polars' report of damaged parquet pages into a :class:`UserError` that names the file.

    A damaged footer is found by :meth:`DataFolder.scan`, damaged pages only by reading them.
    """
    import polars as pl

    try:
        yield
    except (pl.exceptions.ComputeError, pl.exceptions.PanicException, OSError) as fault:
        reason = str(fault).splitlines()[0]
        raise UserError(f"{path}: not readable to its end ({reason}); write it again") from None


def stray_files(folder: DataFolder) -> list[str]:
    """Tables in nodes/, relations/, tasks/ that the schema does not ask for."""
    schema, found = folder.schema, []
    asked = {folder.table_path(table) for table in folder.tables}
    for kind in ("nodes", "relations", "tasks"):
        for path in sorted((folder.path / kind).glob("*.parquet")):
            if path in asked or path.name.startswith("."):
                continue
            task = getattr(schema.relations.get(path.stem), "from_task", None)
            if kind == "relations" and task is not None:
                found.append(
                    f"{path}: relation {path.stem!r} is derived from the training rows of task "
                    f"{task!r} and cannot be brought as a table; remove the file"
                )
            else:
                found.append(
                    f"{path}: {SCHEMA_FILE} names no such table; add it there or remove it"
                )
    return found


def structure_faults(folder: DataFolder) -> dict[str, list[str]]:
    """For each table of the schema, its faults of file, columns and types: none where it is sound.

    Only a table without such faults can be asked about its values.
    """
    columns: dict[str, dict[str, pl.DataType]] = {}
    found: dict[str, list[str]] = {}
    for table in folder.tables:
        try:
            columns[table] = dict(folder.scan(table).collect_schema())
            found[table] = _column_faults(folder, table, columns[table])
        except UserError as fault:
            found[table] = list(fault.faults)
    for table, has in columns.items():
        found[table] += _id_type_faults(folder, table, has, columns)
    if folder.schema.split.by in ("time", "leave_last_out"):
        _add_time_type_faults(folder, columns, found)
    return found


def _column_faults(folder: DataFolder, table: str, has: "dict[str, pl.DataType]") -> list[str]:
    path, found = folder.table_path(table), []
    required = column_kinds(folder, table)
    for column, kind in (_OPTIONAL[table.split("/", 1)[0]] | required).items():
        if column not in has:
            if column in required:
                names = ", ".join(has) or "none"
                found.append(f"{path}: no column {column!r} (there are: {names}); add or rename it")
        elif not _fits(kind, has[column]):
            found.append(
                f"{path}: column {column!r} is of type {has[column]}, must be "
                f"{_TYPE_WORDS[kind]}; cast it"
            )
    return found


def _fits(kind: str, dtype: "pl.DataType") -> bool:
    import polars as pl

    number = dtype.is_numeric() or dtype == pl.Boolean
    match kind:
        case "id":
            return dtype.is_integer() or dtype == pl.String
        case "categorical":
            return dtype.is_integer() or dtype in (pl.String, pl.Boolean)
        case "numeric" | "binary":
            return number
        case "multiclass":
            return dtype.is_integer()
        case "vector":
            return isinstance(dtype, pl.List | pl.Array) and dtype.inner.is_numeric()
        case "bag" | "multilabel":
            return isinstance(dtype, pl.List) and dtype.inner.is_integer()
        case "time":
            return dtype.is_numeric() or dtype in (pl.Date, pl.Datetime)
        case "split":
            return dtype == pl.String
        case _:
            return dtype.is_numeric()


def _id_type_faults(
    folder: DataFolder,
    table: str,
    has: "dict[str, pl.DataType]",
    columns: "dict[str, dict[str, pl.DataType]]",
) -> list[str]:
    found = []
    for column, node_type in end_columns(folder.schema, table).items():
        wanted = columns.get(f"nodes/{node_type}", {}).get("id")
        if wanted is not None and column in has and has[column] != wanted:
            found.append(
                f"{folder.table_path(table)}: column {column!r} is of type {has[column]}, the id "
                f"in nodes/{node_type}.parquet of type {wanted}; cast one to the other"
            )
    return found


def _add_time_type_faults(
    folder: DataFolder,
    columns: "dict[str, dict[str, pl.DataType]]",
    found: dict[str, list[str]],
) -> None:
    timed = [t for t, has in columns.items() if t.startswith("tasks/") and "time" in has]
    for table in timed[1:]:
        first, here = columns[timed[0]]["time"], columns[table]["time"]
        if here != first:
            found[table].append(
                f"{folder.table_path(table)}: column 'time' is of type {here}, in "
                f"{timed[0]}.parquet of type {first}; tasks are split by one time, cast it"
            )


def _value_faults(folder: DataFolder, table: str, sound: Sequence[str]) -> list[str]:
    rows, path = folder.scan(table), folder.table_path(table)
    rules = row_rules(folder, table, rows.collect_schema().names())
    total, counts = broken_counts(rows, rules)
    if total == 0:
        return [f"{path}: no rows; write some, or drop the table from {SCHEMA_FILE}"]
    found = []
    for rule, count in zip(rules, counts, strict=True):
        if count:
            example = rows.filter(rule.broken).select(rule.column).head(1).collect()
            such_as = "" if rule.check == "null" else f", such as {_shown(example.item())}"
            found.append(
                f"{path}: column {rule.column!r}: {count} of {total} {rule.fault}{such_as}; "
                f"{rule.advice}"
            )
    found += _dangling_faults(folder, table, sound) + _repeat_faults(folder, table)
    if table.startswith("tasks/"):
        found += _balance_faults(folder, table)
    return found


def _dangling_faults(folder: DataFolder, table: str, sound: Sequence[str]) -> list[str]:
    import polars as pl

    found = []
    for column, node_type in end_columns(folder.schema, table).items():
        if f"nodes/{node_type}" not in sound:
            continue
        ids = dangling_ids(folder, table, column)
        count, least = ids.select(pl.len(), pl.col("id").min()).collect(engine="streaming").row(0)
        if count:
            found.append(
                f"{folder.table_path(table)}: column {column!r}: {count} not in "
                f"nodes/{node_type}.parquet, such as {_shown(least)}; "
                "add the nodes or drop the rows"
            )
    return found


def _repeat_faults(folder: DataFolder, table: str) -> list[str]:
    import polars as pl

    if table.startswith("relations/"):  # parallel edges are legal
        return []
    keys = key_columns(folder.schema, table)
    repeats = repeated_keys(folder, table)
    count = repeats.select(pl.col("extra").sum()).collect(engine="streaming").item()
    if not count:
        return []
    least = repeats.select(keys).sort(keys).head(1).collect(engine="streaming").row(0)
    columns, such_as = ", ".join(map(repr, keys)), ", ".join(map(_shown, least))
    what = "node" if table.startswith("nodes/") else "entity"
    return [
        f"{folder.table_path(table)}: column {columns}: {count} rows repeat an earlier {what}, "
        f"such as {such_as}; keep one row a{'n' if what == 'entity' else ''} {what}"
    ]


def _balance_faults(folder: DataFolder, table: str) -> list[str]:
    """Splits without rows (where given), binary tasks with one class only."""
    import polars as pl

    task, path = folder.schema.tasks[table.split("/", 1)[1]], folder.table_path(table)
    rows = folder.scan(table)
    found = []
    given = folder.schema.split.by == "given"
    if not given:
        rows = rows.with_columns(split=pl.lit(SPLITS[0]))
    counts = split_counts(rows, task)
    for name, (size, positives) in counts.items():
        if given and size == 0:
            found.append(f"{path}: column 'split': 0 rows are {name!r}; put some into each split")
        elif size and task.kind is TaskKind.BINARY and positives in (0, size):
            only, where = int(positives > 0), f" of split {name!r}" if given else ""
            found.append(
                f"{path}: column 'label': all {size} rows{where} are {only}; "
                "a binary task needs both classes"
            )
    return found


def _shown(value: Any) -> str:
    """A value as it may stand in one line: at most 60 characters."""
    text = repr(value.to_list() if hasattr(value, "to_list") else value)
    return text if len(text) <= 60 else text[:57] + "..."
