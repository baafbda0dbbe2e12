"""The report's tables of how relations are read: what stands in which row and column."""

from collections.abc import Sequence
from dataclasses import dataclass

from counterpoint.evaluation.report import Agreement, Reading, Report, Summary


@dataclass(frozen=True)
class AttentionTable:
    """Attention in the last layer of one task: a row a cell, a column a relation.

    ``heads`` are the node types over the columns, each with its number of relations.
    """

    task: str
    heads: list[tuple[str, int]]
    relations: list[str]
    rows: dict[str, list[Summary | None]]


@dataclass(frozen=True)
class GateRow:
    """How a cell reads a relation, and what its twin of that task pays it, if it has one."""

    reading: Reading
    twin: Summary | None


@dataclass(frozen=True)
class AgreementTable:
    """Correlations with the planted truth: a row a cell, a column a task."""

    tasks: list[Agreement]  # any cell's of each task, for what all cells have in common
    rows: dict[str, list[Summary | None]]


def attention_tables(
    report: Report, tasks: Sequence[str], cells: Sequence[str]
) -> list[AttentionTable]:
    """A table for each of the tasks that any of the cells has readings of, both in this order."""
    tables = []
    for task in tasks:
        last: dict[str, int] = {}
        for reading in report.readings:
            if reading.task == task:
                last[reading.cell] = max(reading.layer, last.get(reading.cell, 0))
        found = {
            (reading.cell, reading.head, reading.relation): reading.values["attention"]
            for reading in report.readings
            if reading.task == task and reading.layer == last[reading.cell]
        }
        columns = list(dict.fromkeys((head, relation) for _, head, relation in found))
        columns.sort(key=lambda column: column[0])  # what shares a softmax, side by side
        heads = list(dict.fromkeys(head for head, _ in columns))
        rows = {c: [found.get((c, *column)) for column in columns] for c in cells if c in last}
        if rows:
            counts = [sum(head == other for other, _ in columns) for head in heads]
            relations = [relation for _, relation in columns]
            tables.append(
                AttentionTable(task, list(zip(heads, counts, strict=True)), relations, rows)
            )
    return tables


def gate_tables(
    report: Report, tasks: Sequence[str], cells: Sequence[str]
) -> dict[str, list[GateRow]]:
    """All readings of each cell that has gates, by task and layer."""
    attention = {
        (r.cell, r.task, r.layer, r.relation): r.values["attention"] for r in report.readings
    }
    tables: dict[str, list[GateRow]] = {}
    for cell in cells:
        of_cell = [r for r in report.readings if r.cell == cell and "gate_entropy" in r.values]
        of_cell.sort(key=lambda r: (tasks.index(r.task), r.layer))
        encoder = cell.split("-")[1]
        for reading in of_cell:
            twin = report.twins.get(encoder, {}).get(reading.task, "")
            place = (twin, reading.task, reading.layer, reading.relation)
            tables.setdefault(cell, []).append(GateRow(reading, attention.get(place)))
    return tables


def agreement_table(
    report: Report, tasks: Sequence[str], cells: Sequence[str]
) -> AgreementTable | None:
    """Correlations of all cells that have any; None without a planted truth."""
    found = {(agreed.cell, agreed.task): agreed for agreed in report.agreements}
    by_task = {agreed.task: agreed for agreed in report.agreements}
    columns = [task for task in tasks if task in by_task]
    rows = {
        cell: [found[cell, t].correlation if (cell, t) in found else None for t in columns]
        for cell in cells
        if any((cell, task) in found for task in columns)
    }
    return AgreementTable([by_task[task] for task in columns], rows) if rows else None
