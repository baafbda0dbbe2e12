"""All facts of a data-set folder: structure first, then tables, splits and edges."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.data.checks import readable, stray_files, structure_faults
from counterpoint.data.folder import DataFolder
from counterpoint.data.rules import (
    broken_counts,
    dangling_ids,
    end_columns,
    repeated_keys,
    row_rules,
)
from counterpoint.validation.edge_facts import edge_facts
from counterpoint.validation.facts import Fact
from counterpoint.validation.split_facts import split_facts, stored_assignments

if TYPE_CHECKING:
    import polars as pl


def graph_facts(folder: DataFolder, scratch: Path) -> list[Fact]:
    """All facts, in a stable order.

    Where a table lacks its file, a column or a type, only the facts of structure are stated: the
    others wait until it is whole.

    Args:
        folder: the data set.
        scratch: an existing folder for the assigned task rows, so that they are computed once.

    Raises:
        UserError: a table cannot be read to its end.
    """
    structure = list(_structure_facts(folder))
    if any(fact.violations for fact in structure):
        return structure
    found = [*structure, _stray_fact(folder)]
    for table in folder.tables:
        with readable(folder.table_path(table)):
            found += _table_facts(folder, table)
    assigned = stored_assignments(folder, scratch)
    return [*found, *split_facts(folder, assigned), *edge_facts(folder, assigned)]


def _structure_facts(folder: DataFolder) -> Iterator[Fact]:
    for table, lines in structure_faults(folder).items():
        path = f"{folder.table_path(table)}: "
        detail = (
            "; ".join(line.removeprefix(path) for line in lines) or "its file, columns and types"
        )
        yield Fact(
            "structure", table, None, "critical", len(lines), len(folder.columns(table)), detail
        )


def _stray_fact(folder: DataFolder) -> Fact:
    lines = stray_files(folder)
    detail = "; ".join(line.removeprefix(f"{folder.path}/") for line in lines)
    return Fact(
        "stray_file",
        "folder",
        None,
        "critical",
        len(lines),
        len(folder.tables),
        detail or "no others",
    )


def _table_facts(folder: DataFolder, table: str) -> Iterator[Fact]:
    """Facts of one table alone and of its ids: the rules of ``counterpoint data check``."""
    rows = folder.scan(table)
    rules = row_rules(folder, table, rows.collect_schema().names())
    total, counts = broken_counts(rows, rules)
    for rule, count in zip(rules, counts, strict=True):
        detail = f"rows {rule.fault}"
        yield Fact(rule.check, table, rule.column, "critical", count, total, detail, rule.advice)
    for column, node_type in end_columns(folder.schema, table).items():
        count = _count(dangling_ids(folder, table, column))
        detail, advice = f"ids that nodes/{node_type} lacks", "add the nodes or drop the rows"
        yield Fact("dangling", table, column, "critical", count, total, detail, advice)
    extra = _extra(repeated_keys(folder, table))
    if table.startswith("nodes/"):
        detail, advice = "rows that repeat an earlier id", "keep one row a node"
        yield Fact("duplicate_node", table, "id", "critical", extra, total, detail, advice)
    elif table.startswith("tasks/"):
        detail, advice = "rows that repeat an earlier entity", "keep one row an entity"
        yield Fact("duplicate_entity", table, None, "critical", extra, total, detail, advice)
    else:
        detail, advice = "rows that repeat an earlier edge", "the graph keeps one of them"
        yield Fact("duplicate_edge", table, None, "warning", extra, total, detail, advice)


def _count(rows: "pl.LazyFrame") -> int:
    import polars as pl

    return int(rows.select(pl.len()).collect(engine="streaming").item())


def _extra(repeats: "pl.LazyFrame") -> int:
    import polars as pl

    return int(repeats.select(pl.col("extra").sum()).collect(engine="streaming").item())
