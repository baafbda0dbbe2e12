import json
import re
from html.parser import HTMLParser

import pytest

from counterpoint.evaluation.evidence import GateSettings, TwinEvidence
from counterpoint.evaluation.gate import judge_candidates
from counterpoint.evaluation.page import page
from counterpoint.evaluation.preflight import preflight
from counterpoint.evaluation.report import Agreement, Curve, Reading, Report, Summary
from counterpoint.files import json_text

CELLS = ("mmoe-gcn-aux_ts", "mmoe-gcn-fixed", "shared_bottom-gcn-fixed")
TWIN = "single_task-gcn-fixed"


def curve(cell: str, fit: str, task: str, name: str, values: list[float]) -> Curve:
    epochs = list(range(len(values)))
    return Curve(
        cell=cell,
        fit=fit,
        task=task,
        name=name,
        epochs=epochs,
        mean=values,
        low=values,
        high=values,
    )


def curves() -> list[Curve]:
    found = []
    for cell in CELLS:
        for task in ("click", "buy"):
            found.append(curve(cell, "joint", task, "valid logloss", [0.6, 0.5]))
            moving = [1.0, 1.25] if "aux_ts" in cell else [1.0, 1.0]
            found.append(curve(cell, "joint", task, "weight", moving))
    for pair in ("click~buy", "buy~click"):
        found.append(curve(CELLS[0], "joint", "", f"cosine/{pair}", [0.3, -0.2]))
    return found + [
        curve(TWIN, task, task, "valid logloss", [0.6, 0.4]) for task in ("click", "buy")
    ]


@pytest.fixture(scope="module")
def report(make_task):
    evidence = {
        CELLS[0]: [make_task("click", 0.03), make_task("buy", 0.0, seed=1)],
        CELLS[1]: [make_task("click", 0.05), make_task("buy", -0.004, noise=0.012, seed=1)],
        CELLS[2]: [make_task("click", 0.1), make_task("buy", -0.05, seed=1)],
    }
    twins = [
        TwinEvidence(t.name, t.metric, t.margin, t.cluster_type, t.twin) for t in evidence[CELLS[0]]
    ]
    auc = {"logloss": Summary(mean=0.4, sd=0.01, n=10), "auc": Summary(mean=0.8, sd=0.02, n=10)}
    return Report(
        name="shop",
        candidates=list(judge_candidates(evidence, GateSettings()).values()),
        chosen=CELLS[0],
        preflight={"gcn": preflight(twins, GateSettings())},
        twins={"gcn": {"click": TWIN, "buy": TWIN}},
        summaries={
            **{cell: {"click": auc, "buy": auc, "dwell": {}} for cell in CELLS},
            TWIN: {"click": auc, "buy": auc},
        },
        references={
            "click": {
                "popularity": {"logloss": 0.6, "auc": 0.7},
                "SVD-32": {"logloss": 0.5, "auc": 0.65},
                "Bayes-optimal": {"logloss": 0.3, "auc": 0.95},
            },
            "dwell": {"mean": {"rmse": 1.25}},
        },
        reference_notes=["A note on references."],
        curves=curves(),
        data_facts={
            "node_types": {"user": 12770, "item": 80},
            "relations": {"clicked": 500},
            "rows": {"click": {"train": 60, "valid": 20, "test": 20}},
            "positive_rates": {"click": {"train": 0.25, "valid": 0.2, "test": 0.215}},
            "gauc_shares": {"click": 0.8349},
            "cross_task": "drop",
            "held_out": [
                {
                    "task": "click",
                    "policy": "drop",
                    "training_rows": 60,
                    "held_out_by_another_task": 7,
                }
            ],
            "candidates": "uniform",
        },
        validation={"passed": True, "failed": {"critical": 0, "warning": 3, "info": 0}},
        lineage={"graph_digest": "ab" * 32, "git_commit": "cd" * 20},
        parameters={"train": {"epochs": 25, "encoder": {}}, "seeds": [0, 1]},
    )


@pytest.fixture(scope="module")
def html(report):
    return page(report)


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of turn."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(html):
    assert "<script" not in html
    assert set(re.findall(r'(\S+?)="https?://', html)) == {"xmlns", "xmlns:xlink"}
    assert len(re.findall("https?://", html)) == len(re.findall('xmlns(:xlink)?="http', html))
    assert "@import" not in html
    assert "url(http" not in html
    links = re.findall(r'(?:href|src)="([^"]*)"', html)
    assert all(link.startswith("#") for link in links)


def test_tags_are_balanced_and_links_lead_somewhere(html):
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    for link in re.findall(r'<a href="#([^"]*)"', html):
        assert parser.ids.count(link) == 1


def test_equal_reports_give_equal_bytes_also_through_json(report, html):
    assert page(report) == html
    text = json_text(report.model_dump(mode="json"))
    assert page(Report.model_validate(json.loads(text))) == html


def test_verdicts_come_first_in_words(html):
    body = html[html.index("<body>") : html.index('id="differences"')]
    decisions = re.findall(r'class="badge">(\w+)</span>([\w-]+)', body)
    assert decisions == list(zip(("promote", "hold", "reject"), CELLS, strict=True))
    assert "Joint training harms buy." in body
    assert body.count("What it lacks") == 1


def test_references_stand_below_the_models_best_first_bayes_last(html):
    table = html[html.index("<h3>click") : html.index("<h3>buy")]
    names = re.findall(r'<tr class="(\w+)[^"]*"><td>([^<]+)', table)
    assert names == [
        *(("candidate", cell) for cell in CELLS),
        ("twin", TWIN),
        ("reference", "SVD-32"),
        ("reference", "popularity"),
        ("bayes", "Bayes-optimal"),
    ]
    head = re.findall(r'<th class="n">([^<]+)', table)
    assert head == ["logloss ↓", "auc"]
    assert '0.4000<span class="sd"> ± 0.0100' in table


def test_gauc_says_what_rows_it_is_of(html):
    assert "equal scores counting half: 83.5 % of the rows of click.</p>" in html


def test_auxiliary_tasks_are_shown_and_called_so(html):
    assert "<h3>dwell <span" in html
    assert "1.2500" in html


def test_facts_lineage_and_parameters_are_there(html):
    for text in ("12 770", "25.00 %", "21.50 %", "ab" * 32, "cd" * 20, "A note on references."):
        assert text in html
    assert "dropped from training" in html
    assert "3 warning" in html
    assert ">train.epochs</td><td><code>25<" in html


def test_weights_that_move_are_drawn_and_others_said(html):
    assert "Task weights" in html
    assert "Constant weights: mmoe-gcn-fixed (click 1, buy 1)" in html


def test_a_pair_of_tasks_has_one_cosine(html):
    assert html.count(">buy and click<") == 1
    assert "click and buy" not in html


def test_without_candidates_there_is_still_a_page(report):
    summary = {TWIN: {"click": {"auc": Summary(mean=0.8, sd=0.0, n=1)}}}
    bare = Report(
        name="shop",
        candidates=[],
        chosen=None,
        preflight={},
        twins={},
        summaries=summary,
        references={},
        reference_notes=[],
        curves=[],
        data_facts={},
        validation={},
        lineage={},
        parameters={},
    )
    html = page(bare)
    assert "nothing to judge" in html
    assert "0.8000</td>" in html
    assert "±" not in html[html.index("<h3>click") : html.index("Lineage</h2>")]
    assert "<svg" not in html


def test_cells_that_were_not_tested_are_named(report):
    only_one = report.model_copy(update={"candidates": report.candidates[:1]})
    html = page(only_one)
    assert f"for one candidate alone: {CELLS[1]}, {CELLS[2]}." in html


def test_what_a_user_wrote_is_escaped(report):
    html = page(report.model_copy(update={"lineage": {"note": "<b>&"}}))
    assert "&lt;b&gt;&amp;" in html


def test_a_reference_without_the_primary_metric_stands_last(report):
    references = {"click": {**report.references["click"], "odd": {"auc": 0.5}}}
    html = page(report.model_copy(update={"references": references}))
    assert html.index(">popularity<") < html.index(">odd<") < html.index(">Bayes-optimal<")


def reading(cell, task, layer, relation, head, **values):
    found = {name: Summary(mean=value, sd=0.01, n=2) for name, value in values.items()}
    return Reading(cell=cell, task=task, layer=layer, relation=relation, head=head, values=found)


GATES = {"gate_entropy": 0.9, "others": 0.45, "others_by_degree": -0.1, "divergence": 0.02}


@pytest.fixture(scope="module")
def with_readings(report):
    readings = []
    for task, share in (("click", 0.25), ("buy", 0.75)):
        for cell, more in ((CELLS[0], 0.125), (TWIN, 0.0)):
            gates = {} if cell == TWIN else GATES
            for layer in (0, 1):
                values = {"attention": share + more + layer / 10, "even": 0.5, **gates}
                readings.append(reading(cell, task, layer, "rev-clicked", "user", **values))
    readings.append(
        reading(CELLS[0], "dwell", 1, "clicked", "item", attention=1.5, even=1.0, **GATES)
    )
    agreement = Agreement(
        cell=TWIN,
        task="buy",
        signals=6,
        correlation=Summary(mean=-0.5, sd=0.25, n=2),
        even=0.125,
        most=0.956,
    )
    return report.model_copy(update={"readings": readings, "agreements": [agreement]})


def cells_of(html):
    """The texts of all rows that have any."""
    rows = re.findall(r"<tr.*?</tr>", html, flags=re.DOTALL)
    texts = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in rows]
    return [[re.sub("<[^>]+>", "", text) for text in row] for row in texts]


def test_how_relations_are_read_stands_by_task_and_model(with_readings):
    html = page(with_readings)
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert parser.ids.count("relations") == html.count('href="#relations"') == 1
    section = html[html.index('id="relations"') : html.index("Other tests of the same")]
    attention = section[: section.index("<h3>Against")]
    assert re.findall("<h3>([^<]+)", attention) == ["click", "buy"]  # targets alone
    head = ["", CELLS[0], f"{TWIN} (twin)"]
    assert cells_of(attention) == [
        head,
        ["to user"],
        ["rev-clicked", "0.475 ± 0.010", "0.350 ± 0.010"],
        head,
        ["to user"],
        ["rev-clicked", "0.975 ± 0.010", "0.850 ± 0.010"],
    ]
    assert 'style="--share: 0.475"' in attention


def test_gates_stand_beside_the_attention_of_the_twin(with_readings):
    html = page(with_readings)
    assert html.count("<summary>Gates of") == 1
    table = html[html.index(f"<summary>Gates of {CELLS[0]}") :]
    rows = cells_of(table[: table.index("</details>")])[1:]
    gates = ["0.900 ± 0.010", "0.450 ± 0.010", "−0.100 ± 0.010", "0.020 ± 0.010"]
    assert rows[:4] == [
        ["click, layer 1"],
        ["rev-clicked", "user", "0.375 ± 0.010", "0.500", "0.250 ± 0.010", *gates],
        ["click, layer 2"],
        ["rev-clicked", "user", "0.475 ± 0.010", "0.500", "0.350 ± 0.010", *gates],
    ]
    # an auxiliary task has no twin
    assert rows[-2:] == [
        ["dwell, layer 2"],
        ["clicked", "item", "1.500 ± 0.010", "1.000", "–", *gates],
    ]


def test_agreement_with_the_truth_has_what_it_is_to_be_compared_with(with_readings):
    html = page(with_readings)
    table = html[html.index("Against the planted truth") :]
    rows = cells_of(table[: table.index("</table>")])[1:]
    assert rows == [["buy"], [TWIN, "−0.500 ± 0.250", "0.125", "0.956", "6"]]
    without = page(with_readings.model_copy(update={"agreements": []}))
    assert "How relations are read" in without
    assert "planted truth" not in without


def test_without_gates_nothing_is_said_of_relations(with_readings, html):
    assert "relations are read" not in html
    assert "#relations" not in html
    of_twins = [one for one in with_readings.readings if one.cell == TWIN]
    assert "relations are read" not in page(with_readings.model_copy(update={"readings": of_twins}))


def test_readings_survive_json(with_readings):
    text = json_text(with_readings.model_dump(mode="json"))
    assert page(Report.model_validate(json.loads(text))) == page(with_readings)
