"""What evaluation found, as one value (report.json), and how a verdict is put into words."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from counterpoint.evaluation.evidence import MINIMUM_SEEDS
from counterpoint.evaluation.gate import TaskResult, Verdict
from counterpoint.evaluation.preflight import PreflightTask

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

DECISION_STYLES = {"promote": "bold green", "hold": "bold yellow", "reject": "bold red"}
STATE_STYLES = {"non_inferior": "green", "open": "yellow", "harmed": "red"}
LACKING = "lacking, "  # how a verdict's reasons begin that say what it lacks


class Summary(BaseModel):
    """A metric over the seeds of a cell; ``sd`` has ddof 1 and is 0 for one seed."""

    model_config = ConfigDict(frozen=True)

    mean: float
    sd: float
    n: int


class Curve(BaseModel):
    """A value over epochs, mean and range over the seeds that were still training."""

    model_config = ConfigDict(frozen=True)

    cell: str
    fit: str
    task: str
    name: str
    epochs: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


class Reading(BaseModel):
    """How a cell's models read one relation for one task, in one layer (0 is the first).

    ``head`` is the node type that the relation leads to; ``values`` are by name, as in
    ``readings.parquet`` (``training/inspection.py``).
    """

    model_config = ConfigDict(frozen=True)

    cell: str
    task: str
    layer: int
    relation: str
    head: str
    values: dict[str, Summary]


class Agreement(BaseModel):
    """Rank correlation of attention with the planted importance of a task's ``signals``.

    ``even`` is that of attention before training, ``most`` that of attention in the right order.
    """

    model_config = ConfigDict(frozen=True)

    cell: str
    task: str
    signals: int
    correlation: Summary
    even: float
    most: float


class Report(BaseModel):
    """The whole of report.json: no time, no raw id, so that equal runs give equal bytes.

    ``summaries`` is cell → task → metric; ``references`` task → reference → metric → value, all
    on test. ``preflight`` and ``twins`` (target → cell compared with) are by encoder. ``readings``
    are of the cells whose layers weigh edges, ``agreements`` with the truth of planted data.
    ``data_facts``, ``validation``, ``lineage`` and ``parameters`` are JSON as the stages have it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    candidates: list[Verdict]
    chosen: str | None
    preflight: dict[str, list[PreflightTask]]
    twins: dict[str, dict[str, str]]
    summaries: dict[str, dict[str, dict[str, Summary]]]
    references: dict[str, dict[str, dict[str, float]]]
    reference_notes: list[str]
    curves: list[Curve]
    readings: list[Reading] = []
    agreements: list[Agreement] = []
    data_facts: dict[str, Any]
    validation: dict[str, Any]
    lineage: dict[str, str]
    parameters: dict[str, Any]

    @property
    def chosen_last(self) -> list[Verdict]:
        """The candidates, the one that was chosen on validation at the end."""
        return sorted(self.candidates, key=lambda verdict: verdict.candidate == self.chosen)


def number(value: float) -> str:
    """Four decimals, one from a hundred on, two significant digits below 0.0005."""
    if not 0 < abs(value) < 5e-4:
        return aligned(value)
    text = f"{value:.1e}" if abs(value) < 1e-6 else f"{float(f'{value:.1e}'):f}".rstrip("0")
    return text.replace("-", "−")


def aligned(value: float) -> str:
    """Four decimals, one from a hundred on: for columns of numbers."""
    text = f"{value:.1f}" if abs(value) >= 100 else f"{value:.4f}"
    return text.replace("-", "−") if float(text) else text.replace("-", "")


def short(value: float) -> str:
    """:func:`number` without zeros at its end, for what people have set."""
    return number(value).rstrip("0").rstrip(".") or "0"


def signed(value: float) -> str:
    """:func:`number` with its sign."""
    return number(value) if value < 0 else f"+{number(value)}"


def state_word(task: TaskResult) -> str:
    """The state as the field says it."""
    return task.state.replace("_", "-")


def verdict_sentence(verdict: Verdict) -> str:
    """The reason of the decision in one sentence."""
    names = {
        state: [task.name for task in verdict.tasks if task.state == state]
        for state in ("harmed", "open")
    }
    if verdict.decision == "reject":
        return f"Joint training harms {listed(names['harmed'])}."
    if verdict.decision == "promote":
        return f"No target task pays more than its margin{_gain(verdict)}."
    if names["open"]:
        return f"It is open whether {listed(names['open'])} would pay more than the margin."
    return f"No target task pays more than its margin, but {_hindrance(verdict)}."


def _gain(verdict: Verdict) -> str:
    gaining = [task.name for task in verdict.tasks if task.gains]
    if gaining:
        return f", and {listed(gaining)} {'gains' if len(gaining) == 1 else 'gain'}"
    return ", and the mean over tasks gains" if verdict.mean and verdict.mean.gains else ""


def _hindrance(verdict: Verdict) -> str:
    if not _gain(verdict):
        return "no gain is shown either"
    if verdict.ships and not verdict.ships.passes:
        return "the seed that would ship does not pass by itself"
    if verdict.provisional:
        return f"{len(verdict.seeds)} seeds are too few, {MINIMUM_SEEDS} are the least"
    return f"this was no declared look: {verdict.look}"


def task_sentence(task: TaskResult) -> str:
    """Why a task has the state that it has, without its name."""
    room = f"a margin of {short(task.margin)} {task.metric}"
    if task.state == "harmed":
        return f"a loss of at least {number(-task.upper)}, with {room}"
    if task.state == "open":
        return f"may lose as much as {number(-task.lower)}, with {room}"
    if task.gains:
        return f"gains at least {number(task.gain_lower)}"
    if task.significant_drop:
        return f"a real drop of at most {number(-task.lower)}, inside {room}"
    if task.lower >= 0:
        return f"no loss, with {room}"
    return f"loses at most {number(-task.lower)}, inside {room}"


def lacks(verdict: Verdict) -> list[str]:
    """What keeps a candidate that nothing is held against from being promoted, a line each."""
    return [
        reason.removeprefix(LACKING) for reason in verdict.reasons if reason.startswith(LACKING)
    ]


def listed(names: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def verdict_lines(report: Report) -> "RenderableType":
    """For the terminal, 80 columns wide: each candidate's tasks, its verdict and what it lacks."""
    from rich.console import Group
    from rich.text import Text

    if not report.candidates:
        return Text(f"{report.name}: no joint model was trained, so there is nothing to judge")
    lines: list[RenderableType] = []
    for verdict in report.candidates:
        decision = Text(f"{verdict.decision}: ", DECISION_STYLES[verdict.decision])
        lines += [
            Text(f"{verdict.candidate}", "bold underline"),
            _task_table(verdict),
            decision.append(verdict_sentence(verdict), "default not bold"),
            *(Text(f"  lacking, {line}") for line in lacks(verdict)),
            Text(),
        ]
    return Group(*lines[:-1])


def _task_table(verdict: Verdict) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("task", "metric", box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column, width in (("joint", 6), ("twin", 6), ("difference", 10), ("bounds", 15)):
        table.add_column(column, justify="right", min_width=width, no_wrap=True)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for task in verdict.tasks:
        table.add_row(
            task.name,
            task.metric,
            number(task.joint),
            number(task.twin),
            signed(task.difference.delta),
            f"{signed(task.lower)} {signed(task.upper)}",
            short(task.margin),
            Text(state_word(task), STATE_STYLES[task.state]),
        )
    return table
