"""What docs/results.md says is what is checked in; one tiny study is computed again."""

from pathlib import Path

import pytest

from benchmarks.results import PAGE, RESULTS, compute, rendered, study_digest
from counterpoint.files import read_json


def test_the_page_is_rendered_from_what_is_checked_in() -> None:
    assert PAGE.read_text() == rendered(), "run `make results` or benchmarks.results --render"


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
