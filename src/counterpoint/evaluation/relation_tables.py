"""The report's tables of how relations are read: what stands in which row and column."""

from collections.abc import Sequence
from dataclasses import dataclass

from counterpoint.evaluation.report import Agreement, Reading, Report, Summary


@dataclass(frozen=True)
class AttentionTable:
    """Attention in the last layer of one task: a row a relation, by its head, a column a cell."""

    task: str
    cells: list[str]
    heads: dict[str, dict[str, list[Summary | None]]]


@dataclass(frozen=True)
class GateRow:
    """How a cell reads a relation, and what its twin of that task pays it, if it has one."""

    reading: Reading
    twin: Summary | None


def attention_tables(
    report: Report, tasks: Sequence[str], cells: Sequence[str]
) -> list[AttentionTable]:
    """A table for each of the tasks that any of the cells has readings of, both in this order."""
    found = [_attention_table(report, task, cells) for task in tasks]
    return [table for table in found if table.cells]


def _attention_table(report: Report, task: str, cells: Sequence[str]) -> AttentionTable:
    of_task = [reading for reading in report.readings if reading.task == task]
    last = {reading.cell: reading.layer for reading in sorted(of_task, key=lambda r: r.layer)}
    shown = {
        (reading.head, reading.relation, reading.cell): reading.values["attention"]
        for reading in of_task
        if reading.layer == last[reading.cell]
    }
    columns = [cell for cell in cells if cell in last]
    heads: dict[str, dict[str, list[Summary | None]]] = {}
    for head, relation, _ in shown:
        row = [shown.get((head, relation, cell)) for cell in columns]
        heads.setdefault(head, {})[relation] = row
    return AttentionTable(task, columns, heads)


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


def agreements_by_task(
    report: Report, tasks: Sequence[str], cells: Sequence[str]
) -> dict[str, list[Agreement]]:
    """Agreements of each task that has any, in the order of the cells."""
    found = {(agreed.task, agreed.cell): agreed for agreed in report.agreements}
    by_task = {t: [found[t, cell] for cell in cells if (t, cell) in found] for t in tasks}
    return {task: agreed for task, agreed in by_task.items() if agreed}
