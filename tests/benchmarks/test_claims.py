"""Verdicts come from intervals, and every claim asks for cells that its study has."""

from fnmatch import fnmatch

import pytest
from scipy.stats import ttest_rel

from benchmarks.claims import (
    CLAIMS,
    Claim,
    Claims,
    Comparison,
    Ground,
    by_paper,
    questions,
    rows_of,
    verdict,
)
from benchmarks.results import RESULTS, study_named, study_names
from counterpoint.data.schema import read_yaml
from counterpoint.files import write_json

GROUNDS = {"s": Ground(tasks=["t"], metric="auc", encoder="gcn")}
FIXED = [0.70, 0.72, 0.74]
BETTER = [0.75, 0.78, 0.79]
NOISY = [0.60, 0.80, 0.76]


@pytest.fixture
def results(tmp_path):
    values = {"fixed": FIXED, "better": BETTER, "noisy": NOISY, "undefined": [0.7, None, 0.7]}
    values["coin"] = [0.6, 0.5, 0.6]
    losses = {"fixed": [0.5, 0.4, 0.45], "better": [0.3, 0.2, 0.26]}
    cells = {f"mmoe-gcn-{name}": {"t": {"auc": aucs}} for name, aucs in values.items()}
    for name, of_name in losses.items():
        cells[f"mmoe-gcn-{name}"]["t"]["logloss"] = of_name
    write_json(tmp_path / "s.json", {"seeds": [0, 1, 2], "on_test": cells})
    return tmp_path


def row(results, *less, cell="better", **more):
    claim = {key: more.pop(key) for key in ("above", "unit") if key in more}
    asked = {"studies": ["s"], "cell": f"mmoe-ENCODER-{cell}", "less": list(less), **more}
    (found,) = rows_of(results, Claim(says="", comparisons=[asked], **claim), GROUNDS)
    return found


def test_the_interval_is_paired_by_seed(results):
    found = row(results, "mmoe-ENCODER-fixed")
    interval = ttest_rel(BETTER, FIXED).confidence_interval()
    assert found["ours"] == f"+0.0533 ({interval.low:+.4f} to {interval.high:+.4f}; 3 seeds)"
    assert found["where"] == "`s`, t, auc: `mmoe-gcn-better` less `mmoe-gcn-fixed`"
    assert found["verdict"] == "holds"


@pytest.mark.parametrize(
    ("cell", "less", "said"),
    [
        ("better", "fixed", "holds"),
        ("fixed", "better", "does not hold"),
        ("noisy", "fixed", "open"),
        ("fixed", "noisy", "open"),
    ],
)
def test_the_verdict_follows_from_the_numbers(results, cell, less, said):
    assert row(results, f"mmoe-gcn-{less}", cell=cell)["verdict"] == said


def test_lower_log_loss_is_better(results):
    found = row(results, "mmoe-gcn-fixed", metric="logloss")
    assert found["ours"].startswith("+0.1967")
    assert found["verdict"] == "holds"


def test_a_claimed_size_must_be_surpassed(results):
    assert row(results, "mmoe-gcn-fixed", above=0.02)["verdict"] == "holds"
    assert row(results, "mmoe-gcn-fixed", above=0.0533)["verdict"] == "open"
    assert row(results, "mmoe-gcn-fixed", above=0.1)["verdict"] == "does not hold"
    assert row(results, "mmoe-gcn-better", cell="fixed", above=-0.1)["verdict"] == "holds"


def test_units(results):
    percent = row(results, "mmoe-gcn-fixed", unit="percent", above=3.0)
    mean = 100 * sum(a / b - 1 for a, b in zip(BETTER, FIXED, strict=True)) / 3
    assert percent["ours"].startswith(f"{mean:+.2f} % (")
    assert percent["ours"].endswith("claimed +3.00 %")
    relaimpr = row(results, "mmoe-gcn-fixed", unit="relaimpr")
    mean = 100 * sum((a - b) / (b - 0.5) for a, b in zip(BETTER, FIXED, strict=True)) / 3
    assert relaimpr["ours"].startswith(f"{mean:+.2f} % (")


def test_a_cell_that_is_not_above_chance_has_no_relaimpr(results):
    assert "(of" not in row(results, "mmoe-gcn-fixed", "mmoe-gcn-coin", unit="relaimpr")["where"]
    alone = row(results, "mmoe-gcn-coin", unit="relaimpr")
    assert (alone["verdict"], alone["ours"][:9]) == ("not computed", "RelaImpr:")
    assert row(results, "mmoe-gcn-coin")["verdict"] == "holds"


def test_all_that_a_pattern_names_must_be_beaten_and_never_itself(results):
    found = row(results, "mmoe-gcn-[bfn]*")
    assert found["verdict"] == "open"
    assert found["where"].endswith("less `mmoe-gcn-noisy` (of 2)")
    found = row(results, "mmoe-gcn-[bfn]*", cell="fixed")
    assert found["verdict"] == "does not hold"
    assert found["where"].endswith("less `mmoe-gcn-better` (of 2)")


def test_the_rule():
    above, below, around = (
        {"mean": mean, "low": mean - 1, "high": mean + 1} for mean in (2, -2, 0.5)
    )
    assert verdict({"a": above}, 0) == "holds"
    assert verdict({"a": above, "b": around}, 0) == "open"
    assert verdict({"a": above, "b": around, "c": below}, 0) == "does not hold"
    assert verdict({"a": {"mean": 0, "low": 0, "high": 0}}, 0) == "open"


def test_what_is_missing_is_named(results):
    for less, more, message in [
        ("mmoe-gcn-fixed", {"cell": "none"}, "`s` has no auc of t by `mmoe-gcn-none`"),
        ("mmoe-gcn-fixed", {"tasks": ["u"]}, "`s` has no auc of u by `mmoe-gcn-better`"),
        ("mmoe-gcn-noisy", {"metric": "logloss"}, "`s` has no logloss of t by `mmoe-gcn-noisy`"),
        ("mmoe-gcn-undefined", {}, "`s` has no auc of t by `mmoe-gcn-undefined`"),
        ("mmoe-gat-*", {}, "`s` has no cell mmoe-gat-*"),
        ("mmoe-gcn-fixed", {"than": "u"}, "`python -m benchmarks.results u`"),
    ]:
        found = row(results, less, **more)
        assert (found["ours"], found["verdict"]) == (message, "not computed")
    write_json(results / "u.json", {"seeds": [0, 1, 2]})
    found = row(results, "mmoe-gcn-fixed", than="u")
    assert found["ours"] == "no values by seed: `python -m benchmarks.results u`"


def test_another_study_is_paired_over_the_seeds_that_both_have(results):
    cells = {"mmoe-gcn-better": {"t": {"auc": [0.77, 0.9, 0.7]}}}
    write_json(results / "u.json", {"seeds": [2, 7, 1], "on_test": cells})
    found = row(results, "mmoe-gcn-better", than="u")
    interval = ttest_rel([0.78, 0.79], [0.7, 0.77]).confidence_interval()
    assert found["ours"] == f"+0.0500 ({interval.low:+.4f} to {interval.high:+.4f}; 2 seeds)"
    assert found["where"].endswith("less `mmoe-gcn-better` of `u`")
    write_json(results / "u.json", {"seeds": [2, 7, 8], "on_test": cells})
    found = row(results, "mmoe-gcn-better", than="u")
    assert found["ours"] == "`s` and `u` share fewer than two seeds"


def test_figures_are_judged_by_their_own_benchmark(tmp_path):
    claim = Claim(says="it rises", figure="f")
    (missing,) = rows_of(tmp_path, claim, {})
    assert missing["verdict"] == "not computed"
    for holds, said in ((True, "holds"), (False, "open")):
        claims = [{"says": "else", "holds": not holds, "found": ""}]
        claims.append({"says": "it rises", "holds": holds, "found": "by 3"})
        write_json(tmp_path / "f.json", {"claims": claims})
        (found,) = rows_of(tmp_path, claim, {})
        assert (found["ours"], found["verdict"]) == ("by 3", said)


def test_every_claim_asks_for_cells_that_its_study_has():
    stated = Claims.model_validate(read_yaml(CLAIMS))
    claims = [claim for of_paper in stated.claims.values() for claim in of_paper]
    asked = [
        one
        for claim in claims
        for comparison in claim.comparisons
        for one in questions(comparison, stated.grounds)
    ]
    assert len(asked) > 100
    for one in asked:
        assert {one.study, one.than} <= set(study_names())
        assert one.cell in study_named(one.study).params["grid"], one
        there = study_named(one.than).params["grid"]
        assert any(fnmatch(cell, pattern) for pattern in one.less for cell in there), one
    assert all(bool(c.comparisons) + bool(c.figure) + bool(c.cannot) == 1 for c in claims)


def test_the_page_counts_every_row():
    for paper in by_paper(RESULTS):
        rows = [row for claim in paper["claims"] for row in claim["rows"]]
        assert sum(paper["counts"].values()) == len(rows) > 0


def test_a_comparison_is_asked_of_each_task_of_each_study():
    grounds = {
        "a": Ground(tasks=["t", "u"], metric="auc", encoder="gcn"),
        "b": Ground(tasks=["v"], metric="ndcg", encoder="gat"),
    }
    asked = Comparison(studies=["a", "b"], cell="x-ENCODER-y", less=["z-ENCODER-*"])
    found = [(q.study, q.task, q.metric, q.cell, *q.less) for q in questions(asked, grounds)]
    assert found == [
        ("a", "t", "auc", "x-gcn-y", "z-gcn-*"),
        ("a", "u", "auc", "x-gcn-y", "z-gcn-*"),
        ("b", "v", "ndcg", "x-gat-y", "z-gat-*"),
    ]


def test_a_share_of_anothers_gain(results):
    asked = {"keeps": 0.8, "twin": "mmoe-ENCODER-coin"}
    found = row(results, "mmoe-ENCODER-fixed", **asked)
    coin = [0.6, 0.5, 0.6]
    kept = [twin + 0.8 * (fixed - twin) for twin, fixed in zip(coin, FIXED, strict=True)]
    interval = ttest_rel(BETTER, kept).confidence_interval()
    mean = sum(BETTER) / 3 - sum(kept) / 3
    assert found["ours"] == f"{mean:+.4f} ({interval.low:+.4f} to {interval.high:+.4f}; 3 seeds)"
    assert "80 % of the way from `mmoe-gcn-coin` to `mmoe-gcn-fixed`" in found["where"]
