"""The report as one HTML page that needs nothing but itself: no network, no script, no raw id."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint.evaluation.plots import PALETTE, TWIN, Line, Panel, epoch_plot, forest_plot
from counterpoint.evaluation.relation_tables import (
    agreements_by_task,
    attention_tables,
    gate_tables,
)
from counterpoint.evaluation.report import (
    Curve,
    Report,
    Summary,
    aligned,
    lacks,
    number,
    short,
    signed,
    state_word,
    task_sentence,
    verdict_sentence,
)
from counterpoint.evaluation.templates import templates
from counterpoint.metrics import METRICS, metric_named

TWIN_ARCHITECTURE = "single_task"
JOINT_FIT = "joint"
BAYES = "Bayes-optimal"
NO_FACTS: dict[str, Any] = {
    "node_types": {},
    "relations": {},
    "cross_task": None,
    "candidates": None,
    "gauc_shares": {},
}
USUAL_PRIMARY = ("auc", "micro_f1", "ndcg", "rmse")


@dataclass(frozen=True)
class Row:
    """A row of a table of metrics: a cell or a reference, and its values by column."""

    name: str
    kind: str  # candidate, twin, reference or bayes
    values: list[Summary | None]


@dataclass(frozen=True)
class MetricTable:
    """All that is known of one task on the test set; the first column is the primary metric."""

    task: str
    auxiliary: bool
    columns: list[str]
    rows: list[Row]


def page(report: Report) -> str:
    """The HTML page of a report; equal reports give equal bytes."""
    environment = templates()
    environment.filters |= {
        "aligned": aligned,
        "number": number,
        "percent": _percent,
        "rounded": _rounded,
        "share": _share,
        "short": short,
        "signed": signed,
    }
    environment.globals |= {
        "lacks": lacks,
        "state_word": state_word,
        "task_sentence": task_sentence,
        "verdict_sentence": verdict_sentence,
        "is_twin": _is_twin,
        "lower_is_better": lambda metric: metric_named(metric).orientation < 0,
    }
    found = [_metric_table(report, task) for task in _tasks(report)]
    tables = [table for table in found if table.columns]
    return environment.get_template("report.html.j2").render(
        report=report,
        facts={**NO_FACTS, **report.data_facts},
        untested=[cell for cell in _cells(report) if _is_untested(report, cell)],
        forest=forest_plot(report.candidates) if report.candidates else None,
        tables=tables,
        ranked=any("mrr" in table.columns for table in tables),
        learning=_figure(_learning_panels(report), "Validation metric by epoch"),
        weights=_figure(_weight_panels(report), "Task weights by epoch"),
        fixed_weights=_constant_weights(report),
        cosines=_figure(_pair_panels(report, "cosine"), "Cosine of the tasks' gradients by epoch"),
        affinities=_figure(_pair_panels(report, "affinity"), "One-step affinity by epoch"),
        agreements=agreements_by_task(report, _tasks(report), _cells(report)),
        attention=attention_tables(report, list(_targets(report)), _cells(report)),
        gates=gate_tables(report, _tasks(report), _cells(report)),
        rows=_rows_by_task(report),
        parameters=list(_flat(report.parameters)),
    )


def _targets(report: Report) -> dict[str, str]:
    """Target tasks in the gate's order, and their primary metrics."""
    found = {t.name: t.metric for verdict in report.candidates for t in verdict.tasks}
    return found | {t.name: t.metric for tasks in report.preflight.values() for t in tasks}


def _tasks(report: Report) -> list[str]:
    """All tasks that have a number: targets first, then auxiliary ones by name."""
    known = {task for by_task in report.summaries.values() for task in by_task}
    known |= {curve.task for curve in report.curves if curve.task}  # made-up ones are only trained
    targets = list(_targets(report))
    return targets + sorted((known | set(report.references)) - set(targets))


def _cells(report: Report) -> list[str]:
    """Candidates in the gate's order, then other joint cells, then twins."""
    judged = [verdict.candidate for verdict in report.candidates]
    others = sorted(set(report.summaries) - set(judged), key=lambda cell: (_is_twin(cell), cell))
    return [cell for cell in judged if cell in report.summaries] + others


def _is_twin(cell: str) -> bool:
    return cell.startswith(f"{TWIN_ARCHITECTURE}-")


def _is_untested(report: Report, cell: str) -> bool:
    return not _is_twin(cell) and cell not in {one.candidate for one in report.candidates}


def _metric_table(report: Report, task: str) -> MetricTable:
    references = report.references.get(task, {})
    of_cells = {
        cell: report.summaries[cell][task]
        for cell in _cells(report)
        if task in report.summaries[cell]
    }
    columns = _columns([*of_cells.values(), *references.values()], _targets(report).get(task))
    rows = [
        Row(cell, "twin" if _is_twin(cell) else "candidate", [found.get(m) for m in columns])
        for cell, found in of_cells.items()
    ]
    rows += [
        Row(
            name,
            "bayes" if name == BAYES else "reference",
            [Summary(mean=found[m], sd=0.0, n=1) if m in found else None for m in columns],
        )
        for name, found in _best_first(references, columns[:1])
    ]
    return MetricTable(task, task not in _targets(report), columns, rows)


def _columns(found: Sequence[Mapping[str, object]], primary: str | None) -> list[str]:
    """Metrics with a value: the primary one, then in the order of :data:`METRICS`."""
    present = {metric for values in found for metric in values}
    if primary is None:
        primary = next((metric for metric in USUAL_PRIMARY if metric in present), None)
    order = [*METRICS, *sorted(present - set(METRICS))]
    rest = [metric for metric in order if metric in present and metric != primary]
    return ([primary] if primary else []) + rest


def _best_first(
    references: Mapping[str, Mapping[str, float]], primary: Sequence[str]
) -> list[tuple[str, Mapping[str, float]]]:
    """By the primary metric, those without it last; what is Bayes-optimal after all others."""

    def place(item: tuple[str, Mapping[str, float]]) -> tuple[bool, list[float], str]:
        name, values = item
        cost = [-metric_named(m).orientation * values.get(m, math.nan) for m in primary]
        return name == BAYES, [math.inf if math.isnan(c) else c for c in cost], name

    return sorted(references.items(), key=place)


def _colours(report: Report) -> dict[str, str]:
    """One colour a cell in all figures; twins share theirs."""
    joint = [cell for cell in _cells(report) if not _is_twin(cell)]
    return {cell: PALETTE[place % len(PALETTE)] for place, cell in enumerate(joint)}


def _line(curve: Curve, label: str, colour: str, dashed: bool = False) -> Line:
    return Line(label, curve.epochs, curve.mean, curve.low, curve.high, colour, dashed)


def _figure(panels: Sequence[Panel], what: str) -> str | None:
    return epoch_plot(panels, what) if panels else None


def _learning_panels(report: Report) -> list[Panel]:
    """A panel a target task: its primary metric on valid, joint cells and dashed twins."""
    colours, panels = _colours(report), []
    for task, metric in _targets(report).items():
        lines = [
            _line(curve, cell, colours.get(cell, TWIN), dashed=_is_twin(cell))
            for cell in _cells(report)
            for curve in report.curves
            if (curve.cell, curve.task, curve.name) == (cell, task, f"valid {metric}")
        ]
        if lines:
            panels.append(Panel(f"{task}: {metric} on valid", lines))
    return panels


def _weights(report: Report) -> dict[str, list[Curve]]:
    """Curves of task weights by joint cell."""
    found: dict[str, list[Curve]] = {}
    for curve in report.curves:
        if curve.name == "weight" and curve.fit == JOINT_FIT:
            found.setdefault(curve.cell, []).append(curve)
    return {cell: found[cell] for cell in _cells(report) if cell in found}


def _moves(curves: Sequence[Curve]) -> bool:
    return any(max(curve.high) - min(curve.low) > 1e-9 for curve in curves)


def _weight_panels(report: Report) -> list[Panel]:
    """A panel a cell whose weights move, a line a task."""
    tasks = _tasks(report)
    return [
        Panel(
            cell,
            [_line(c, c.task, PALETTE[tasks.index(c.task) % len(PALETTE)]) for c in curves],
        )
        for cell, curves in _weights(report).items()
        if _moves(curves)
    ]


def _constant_weights(report: Report) -> dict[str, str]:
    """Weights of the cells where they do not move, in words."""
    return {
        cell: ", ".join(f"{curve.task} {curve.mean[0]:.3g}" for curve in curves)
        for cell, curves in _weights(report).items()
        if not _moves(curves)
    }


def _pair_panels(report: Report, kind: str) -> list[Panel]:
    """A panel a cell whose history compares gradients so, a line a pair of tasks."""
    found: dict[str, dict[str, Curve]] = {}
    for curve in report.curves:
        if curve.name.startswith(f"{kind}/"):
            pair = curve.name.removeprefix(f"{kind}/")
            if "~" in pair:  # a symmetric measure
                pair = " and ".join(sorted(pair.split("~")))
            found.setdefault(curve.cell, {})[pair.replace(">", " on ")] = curve
    pairs = sorted({pair for of_cell in found.values() for pair in of_cell})
    return [
        Panel(
            cell,
            [
                _line(curve, pair, PALETTE[pairs.index(pair) % len(PALETTE)])
                for pair, curve in sorted(found[cell].items())
            ],
            around_zero=True,
        )
        for cell in _cells(report)
        if cell in found
    ]


def _rows_by_task(report: Report) -> list[dict[str, Any]]:
    """Rows and positive rate a split of every task, and what its cross-task policy did."""
    facts = report.data_facts
    rates = facts.get("positive_rates", {})
    held = {entry["task"]: entry for entry in facts.get("held_out", [])}
    by_task = facts.get("rows", {})
    order = [task for task in _tasks(report) if task in by_task]
    return [
        {"task": t, "rows": by_task[t], "rates": rates.get(t, {}), "held": held.get(t)}
        for t in order + sorted(set(by_task) - set(order))
    ]


def _flat(values: Any, place: str = "") -> Iterable[tuple[str, str]]:
    """``a.b.c`` and its value, for every leaf of nested JSON."""
    if isinstance(values, Mapping) and values:
        for key in sorted(values):
            yield from _flat(values[key], f"{place}.{key}" if place else str(key))
    elif isinstance(values, list | tuple):
        yield place, ", ".join(str(value) for value in values) or "none"
    else:
        yield place, "default" if values in ({}, None) else str(values)


def _percent(value: float) -> str:
    return f"{value:+.1f} %".replace("-", "−")


def _share(value: float) -> str:
    """A share or a correlation: three decimals."""
    text = f"{value:.3f}"
    return text.replace("-", "−" if float(text) else "")


def _rounded(value: float) -> str:
    """A p-value or a level: three decimals, or that it is below them."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
