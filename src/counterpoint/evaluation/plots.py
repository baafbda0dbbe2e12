"""Figures as inline SVG: no script, no date, equal data give equal bytes."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from counterpoint.evaluation.difference import t_quantile
from counterpoint.evaluation.gate import TaskResult, Verdict
from counterpoint.evaluation.report import short, signed, state_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, TWIN = "#1c2330", "#8b94a3", "#5a6578"
STATE_COLOURS = {"non_inferior": "#1b6e3c", "open": "#8a5a00", "harmed": "#b3261e"}
STATE_MARKERS = {"non_inferior": "o", "open": "D", "harmed": "s"}
# Okabe and Ito's, which the colour-blind tell apart, darkened where they are pale on white
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#a8508a", "#b07d00", "#3a8fc4", "#6a51a3", "#7f5539")
WIDTH, NUMBERS_WIDTH = 9.6, 2.98  # inches
STYLE = {
    "svg.hashsalt": "counterpoint",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # measured with this; shown in the page's own font
    "font.size": 9.0,
    "axes.edgecolor": "#c3c9d3",
    "axes.labelcolor": TWIN,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": TWIN,
    "ytick.color": TWIN,
    "xtick.labelcolor": TWIN,
    "ytick.labelcolor": TWIN,
    "legend.frameon": False,
    "lines.linewidth": 1.7,
}


@dataclass(frozen=True)
class Line:
    """One line of a panel; ``low`` and ``high`` are the edges of its band, if it has one."""

    label: str
    epochs: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One set of axes with its lines; ``around_zero`` draws the line that signs are read from."""

    title: str
    lines: Sequence[Line]
    around_zero: bool = False


def forest_plot(verdicts: Sequence[Verdict]) -> str:
    """Joint minus twin with its intervals and the margin: axes a task, a row a candidate."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    tasks = [task.name for task in verdicts[0].tasks]
    rows = len(verdicts)
    height = len(tasks) * (0.27 * rows + 0.72) + 0.15
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        left = 0.16 + 0.075 * max(len(verdict.candidate) for verdict in verdicts)
        every_axes = figure.subplots(len(tasks), 1, squeeze=False)[:, 0]
        for place, axes in enumerate(every_axes):
            results = [verdict.tasks[place] for verdict in verdicts]
            _forest_axes(axes, results)
            axes.set_yticks(range(rows), [verdict.candidate for verdict in verdicts])
        _head_numbers(every_axes[0])
        figure.subplots_adjust(
            left=left / WIDTH,
            right=1 - (NUMBERS_WIDTH + 0.07) / WIDTH,
            top=1 - 0.32 / height,
            bottom=0.36 / height,
            hspace=0.72 / (0.27 * rows),
        )
        return _svg(figure, "Joint minus twin for each task and candidate, with the margin")


def _forest_axes(axes: "Axes", results: Sequence[TaskResult]) -> None:
    """Axes of one task; ``results`` are its candidates' from top to bottom."""
    margin, harm = results[0].margin, STATE_COLOURS["harmed"]
    ends = [end for task in results for end in (task.lower, task.upper, *_two_sided(task))]
    low, high = min(-margin, *ends), max(0.0, *ends)
    room = 0.06 * (high - low)
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.axvspan(low - room, -margin, color=harm, alpha=0.07, linewidth=0)
    axes.axvline(0, color=FAINT, linewidth=1)
    axes.axvline(-margin, color=harm, linewidth=1.2, linestyle=(0, (4, 2)))
    for row, task in enumerate(results):
        _forest_row(axes, row, task)
    axes.set_title(f"{results[0].name}: {results[0].metric}, margin {short(margin)}", pad=6)
    axes.locator_params(axis="x", nbins=7)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _forest_row(axes: "Axes", row: int, task: TaskResult) -> None:
    """Intervals, estimate and seeds of one candidate; to the right, the same in numbers."""
    colour = STATE_COLOURS[task.state]
    axes.plot(_two_sided(task), (row, row), color=colour, linewidth=1.1)
    axes.plot((task.lower, task.upper), (row, row), color=colour, linewidth=4, alpha=0.45)
    seeds = list(task.per_seed.values())
    axes.plot(seeds, [row + 0.3] * len(seeds), "|", markersize=4, color=FAINT)
    axes.plot(
        task.difference.delta,
        row,
        marker=STATE_MARKERS[task.state],
        markersize=6.5,
        color=colour,
        markeredgecolor="white",
    )
    numbers = f"{signed(task.difference.delta)}  [{signed(task.lower)}, {signed(task.upper)}]"
    beside: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "va": "center",
        "fontsize": 8.5,
    }
    axes.annotate(numbers, (1.02, row), **beside)
    axes.annotate(
        state_word(task),
        (1, row),
        xytext=(72 * NUMBERS_WIDTH, 0),
        textcoords="offset points",
        ha="right",
        color=colour,
        fontweight="bold",
        **beside,
    )


def _head_numbers(axes: "Axes") -> None:
    """Say once, above the first axes, what the numbers to the right are."""
    head: dict[str, Any] = {"xycoords": "axes fraction", "color": TWIN, "fontsize": 8.5}
    offset: dict[str, Any] = {"textcoords": "offset points", "va": "baseline"}
    axes.annotate("difference  [bounds]", (1.02, 1), xytext=(0, 6), **head, **offset)
    axes.annotate("state", (1, 1), xytext=(72 * NUMBERS_WIDTH, 6), ha="right", **head, **offset)


def _two_sided(task: TaskResult) -> tuple[float, float]:
    reach = t_quantile(task.degrees_of_freedom, 0.025) * task.standard_error
    return task.difference.delta - reach, task.difference.delta + reach


def epoch_plot(panels: Sequence[Panel], what: str) -> str:
    """Values over epochs, two panels a row, one legend for all of them."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    width = WIDTH if columns == 2 else 0.62 * WIDTH
    legend_columns = max(1, int(width / (0.55 + 0.08 * max(map(len, labels)))))
    legend_rows = -(-len(labels) // legend_columns)
    height = 2.25 * rows + 0.22 * legend_rows + 0.2
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        handles: dict[str, Any] = {}
        for axes, panel in zip(grid, panels, strict=False):
            if panel.around_zero:
                axes.axhline(0, color=FAINT, linewidth=1)
            for line in panel.lines:
                handles[line.label] = _draw(axes, line)
            axes.set_title(panel.title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
            axes.grid(axis="y", color="#e8ebf0", linewidth=0.8)
            axes.set_axisbelow(True)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        figure.legend(
            [handles[label] for label in labels],
            labels,
            loc="upper left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=min(legend_columns, len(labels)),
        )
        figure.tight_layout(rect=(0, 0, 1, 1 - (0.22 * legend_rows + 0.12) / height))
        return _svg(figure, what)


def _draw(axes: "Axes", line: Line) -> Any:
    (drawn,) = axes.plot(
        line.epochs,
        line.mean,
        color=line.colour,
        linestyle=(0, (4, 2)) if line.dashed else "-",
        marker="o" if len(line.epochs) == 1 else "",
    )
    axes.fill_between(line.epochs, line.low, line.high, color=line.colour, alpha=0.13, linewidth=0)
    return drawn


def _svg(figure: "Figure", what: str) -> str:
    """The figure as an element of a page, which ``what`` describes to those who do not see it."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[a-z_]+[0-9]+">', "<g>", text)  # not unique in a page of several
    text = text.replace("'DejaVu Sans'", "system-ui, sans-serif")
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(what)}" ', 1)
