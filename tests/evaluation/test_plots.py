import re
from xml.etree import ElementTree

import pytest

from counterpoint.evaluation.evidence import GateSettings
from counterpoint.evaluation.gate import judge
from counterpoint.evaluation.plots import Line, Panel, epoch_plot, forest_plot
from counterpoint.evaluation.report import short, signed


@pytest.fixture
def verdicts(make_task):
    return [
        judge(name, [make_task("click", delta), make_task("buy", 0.0, seed=1)], GateSettings())
        for name, delta in (("mmoe", 0.03), ("shared_bottom", -0.05))
    ]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.text]


def line(label: str = "mmoe", length: int = 3) -> Line:
    values = [0.1 * i for i in range(length)]
    return Line(label, range(length), values, values, values, "#0072b2")


def test_the_forest_says_every_difference_and_state_in_words(verdicts):
    found = " | ".join(texts(forest_plot(verdicts)))
    for verdict in verdicts:
        assert verdict.candidate in found
        for task in verdict.tasks:
            assert signed(task.difference.delta) in found
            assert f"{task.name}: logloss, margin {short(task.margin)}" in found
    assert "non-inferior" in found
    assert "harmed" in found


def test_zero_and_the_margin_are_inside_the_axes(make_task):
    """Far from both: an interval that holds neither must not hide where they are."""
    from matplotlib.figure import Figure

    from counterpoint.evaluation.plots import _forest_axes

    for delta in (0.3, -0.3):
        verdict = judge("m", [make_task("click", delta), make_task("buy", 0.0)], GateSettings())
        axes = Figure().subplots()
        _forest_axes(axes, verdict.tasks[:1])
        low, high = axes.get_xlim()
        assert low < -0.02 < 0 < high
        assert low < delta < high


def test_equal_data_give_equal_bytes_without_a_date(verdicts):
    first, again = forest_plot(verdicts), forest_plot(verdicts)
    assert first == again
    assert "metadata" not in first
    assert "dc:date" not in first


def test_an_svg_needs_nothing_else(verdicts):
    for svg in (forest_plot(verdicts), epoch_plot([Panel("click", [line()])], "curves")):
        links = re.findall(r'(?:href|src)="([^"]*)"', svg)
        assert all(link.startswith("#") for link in links)
        assert set(re.findall(r'(\S+?)="https?://', svg)) <= {"xmlns", "xmlns:xlink"}
        assert "<script" not in svg
        assert 'role="img" aria-label=' in svg


@pytest.mark.parametrize("panels", [1, 2, 3, 5])
def test_panels_share_one_legend(panels):
    svg = epoch_plot([Panel(f"task {i}", [line(), line("twin")]) for i in range(panels)], "curves")
    found = texts(svg)
    assert found.count("mmoe") == found.count("twin") == 1
    assert sum(text.startswith("task ") for text in found) == panels


def test_long_names_in_the_legend_stand_below_each_other():
    names = [f"shared_bottom-simple_hgn-uncertainty-{i}" for i in range(4)]
    svg = epoch_plot([Panel("click", [line(name) for name in names])], "curves")
    width = float(re.search(r'width="([0-9.]+)pt"', svg)[1])
    for element in ElementTree.fromstring(svg).iter():
        if element.text in names:
            place = re.search(r"translate\(([0-9.]+)", element.get("transform", ""))
            start = float(place[1] if place else element.get("x"))
            assert start + 5 * len(element.text) < width


def test_one_epoch_is_a_dot():
    svg = epoch_plot([Panel("click", [line(length=1)])], "curves")
    assert "<use" in svg


def test_words_that_html_would_read_are_escaped():
    assert 'aria-label="a &lt; b"' in epoch_plot([Panel("click", [line()])], "a < b")
