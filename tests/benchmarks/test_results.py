"""What docs/results.md says is what is checked in; one tiny study is computed again."""

import re
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

from benchmarks.results import (
    PAGE,
    RESULTS,
    compute,
    on_test,
    over_fixed,
    rendered,
    study_digest,
    study_named,
    study_names,
)
from benchmarks.study_tables import anchor
from counterpoint.files import read_json, write_json
from counterpoint.stages.params import Params


def test_the_page_is_rendered_from_what_is_checked_in() -> None:
    assert PAGE.read_text() == rendered(), "run `make results` or benchmarks.results --render"


def test_the_contents_lead_to_every_section() -> None:
    contents, *sections = re.split(r"\n(?=<a id=|## )", PAGE.read_text())
    places = {s.split('"')[1] for s in sections if s.startswith("<a id=")}
    assert places == set(study_names())
    places |= {anchor(s.splitlines()[0][3:]) for s in sections if s.startswith("## ")}
    titles = {anchor(study_named(name).title) for name in study_names()}
    assert {link.split(")")[0] for link in contents.split("](#")[1:]} == places - titles


def test_the_tiny_study_comes_out_again(tmp_path: Path) -> None:
    stated = read_json(RESULTS / "tiny.json")
    assert stated["study"] == study_digest("tiny")
    found = compute("tiny", tmp_path, tmp_path / "work")
    for cell, by_task in stated["summaries"].items():
        for task, by_metric in by_task.items():
            for metric, summary in by_metric.items():
                again = found["summaries"][cell][task][metric]["mean"]
                # not to the bit: another processor may sum in another order
                assert again == pytest.approx(summary["mean"], abs=2e-3), (cell, task, metric)


def test_differences_to_fixed_weights_are_paired_by_seed(tmp_path: Path) -> None:
    on_test = {"fixed": [0.5, 0.7, 0.6], "aux_ts": [0.6, 0.75, 0.8], "selar": [0.5, 0.7, 0.6]}
    for weighting, values in on_test.items():
        seeds = {str(seed): {"t": {"test": {"auc": v}}} for seed, v in enumerate(values)}
        folder = tmp_path / "runs" / f"mmoe-gcn-{weighting}"
        folder.mkdir(parents=True)
        write_json(folder / "metrics.json", {"seeds": seeds})
    grid = ("single_task-gcn-fixed", *(f"mmoe-gcn-{weighting}" for weighting in on_test))
    found = over_fixed(Params(grid=grid, seeds=(0, 1, 2)), tmp_path, {"t": "auc"})
    assert set(found) == {"mmoe-gcn-aux_ts", "mmoe-gcn-selar"}
    interval = ttest_rel(on_test["aux_ts"], on_test["fixed"]).confidence_interval()
    assert found["mmoe-gcn-aux_ts"]["t"] == pytest.approx(
        {"mean": (0.1 + 0.05 + 0.2) / 3, "low": interval.low, "high": interval.high}
    )
    assert found["mmoe-gcn-selar"]["t"] == {"mean": 0, "low": 0, "high": 0}


def test_values_on_test_are_in_the_order_of_the_seeds(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "cell"
    folder.mkdir(parents=True)
    seeds = {
        str(seed): {
            "t": {"test": {"auc": seed / 10, "ap": None}, "valid": {"auc": 0.5}},
            "u": {"test": {"ndcg": seed / 20}},
        }
        for seed in (3, 1, 2)
    }
    write_json(folder / "metrics.json", {"seeds": seeds})
    assert on_test(tmp_path, "cell", (1, 2, 3)) == {
        "t": {"auc": [0.1, 0.2, 0.3], "ap": [None, None, None]},
        "u": {"ndcg": [0.05, 0.1, 0.15]},
    }
