"""The main job on the tiny preset: by DVC, by KFP's local runner, by `counterpoint run`."""

import json
from pathlib import Path
from typing import Any

import pytest

from counterpoint.files import sha256_of_file
from counterpoint.stages.params_file import read_params
from counterpoint.stages.table import STAGES
from tests.end_to_end.conftest import TINY, run

TASKS = ("click", "conversion", "complaint")


@pytest.fixture(scope="module")
def reproduced(checkout: Path) -> str:
    return run("dvc", "repro", cwd=checkout).stdout


@pytest.fixture(scope="module")
def piped(checkout: Path) -> Path:
    """Artefacts of the same job by KFP's local runner, which is to promote what it registers."""
    options = ("--root", "kfp", "--set", "promote=none")
    run("counterpoint", "pipeline", "run", "--local", *options, cwd=checkout)
    return checkout / "kfp"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_dvc_repro_ends_with_verdict_report_version_and_next_step(
    checkout: Path, reproduced: str
) -> None:
    for said in ("click", "complaint", "report.html", "version 1", "next: "):
        assert said in reproduced
    report = read(checkout / "work" / "evaluation" / "report.json")
    assert [c["candidate"] for c in report["candidates"]] == ["shared_bottom-gcn-fixed"]
    assert {task["name"] for task in report["candidates"][0]["tasks"]} == set(TASKS)
    assert "Bayes-optimal" in report["references"]["click"]
    html = (checkout / "work" / "evaluation" / "report.html").read_text()
    assert 'src="http' not in html


def test_the_report_says_what_rows_gauc_is_of(checkout: Path, reproduced: str) -> None:
    from counterpoint.graph.store import open_store

    work = checkout / "work"
    shares = read(work / "evaluation" / "report.json")["data_facts"]["gauc_shares"]
    assert set(shares) == set(TASKS)
    for task, share in shares.items():
        rows = open_store(work / "graph").rows(task, "test")
        seen: dict[int, set[float]] = {}
        for user, label in zip(rows.entity[:, 0].tolist(), rows.label.tolist(), strict=True):
            seen.setdefault(user, set()).add(label)
        both = [len(seen[user]) == 2 for user in rows.entity[:, 0].tolist()]
        assert share == pytest.approx(sum(both) / len(both))


def test_a_second_repro_does_nothing(checkout: Path, reproduced: str) -> None:
    again = run("dvc", "repro", cwd=checkout).stdout
    assert "Running stage" not in again
    assert "didn't change" in again


def test_what_the_receipt_names_is_whole_in_the_registry(checkout: Path, reproduced: str) -> None:
    from counterpoint.registry.receipt import read_receipt
    from counterpoint.registry.tracking import connect
    from counterpoint.registry.verification import model_faults

    receipt = read_receipt(checkout / "work" / "registration" / "receipt.json")
    assert model_faults(connect(checkout / "work"), receipt.model) == []
    assert [version.cell for version in receipt.versions] == ["shared_bottom-gcn-fixed"]
    verdict = receipt.versions[0].verdict
    expected = ("--expect-champion", "none", "--work", "work")
    done = run("counterpoint", "models", "promote", "1", *expected, cwd=checkout, check=False)
    assert done.returncode == (0 if verdict == "promote" else 2)
    assert "Traceback" not in done.stderr


def test_kfp_local_gives_the_same_bytes(checkout: Path, reproduced: str, piped: Path) -> None:
    for cell in TINY["grid"]:
        ours = checkout / "work" / "runs" / str(cell)
        theirs = [
            path.parent
            for path in piped.rglob("config.json")
            if path.parent.name == "run_out"
            and read(path)["cell"] == read(ours / "config.json")["cell"]
        ]
        assert len(theirs) == 1
        for path in ours.rglob("*"):
            if path.is_file():
                other = theirs[0] / path.relative_to(ours)
                assert sha256_of_file(path) == sha256_of_file(other), path
    metrics = list(piped.rglob("evaluation_out/metrics.json"))
    assert len(metrics) == 1
    assert (
        metrics[0].read_bytes() == (checkout / "work" / "evaluation" / "metrics.json").read_bytes()
    )


def test_the_card_of_either_has_the_same_parameters(
    checkout: Path, reproduced: str, piped: Path
) -> None:
    (ours,) = (checkout / "work").rglob("cards/*/card_params.yaml")
    (theirs,) = piped.rglob("registration_out/cards/*/card_params.yaml")
    assert read_params(theirs) == read_params(ours) == read_params(checkout / "params.yaml")


def test_a_pipeline_promotes_and_another_scores_and_monitors(checkout: Path, piped: Path) -> None:
    (move,) = piped.rglob("promotion_out/move.json")
    (receipt,) = piped.rglob("registration_out/receipt.json")
    assert read(receipt)["versions"][0]["verdict"] == "promote"
    assert (read(move)["version"], read(move)["before"]) == (1, None)
    (data,) = piped.rglob("data_out")
    rows = data / "tasks" / "click.parquet"
    options = ("--pipeline", "score_and_monitor", "--set", "task=click", "--set", f"rows={rows}")
    run("counterpoint", "pipeline", "run", "--local", "--root", "kfp", *options, cwd=checkout)
    (drift,) = piped.rglob("drift_out/drift.json")
    assert (read(drift)["version"], read(drift)["drifted"]) == (1, [])
    assert {one["name"] for one in read(drift)["predictions"]} == set(TASKS)
    (scoring,) = piped.rglob("scores_out/scoring.json")
    question = read(scoring)["question"]
    assert (question["asked"], question["version"]) == ("champion", 1)
    command = ("score", "1", "--task", "click", "--from", str(rows), "--to", "scores")
    run("counterpoint", *command, "--work", "kfp", cwd=checkout)
    ours, theirs = (folder / "scores.parquet" for folder in (checkout / "scores", scoring.parent))
    assert ours.read_bytes() == theirs.read_bytes()


def test_counterpoint_run_on_a_folder(checkout: Path, tmp_path: Path) -> None:
    run("counterpoint", "data", "plant", "tiny", "--to", str(tmp_path / "market"), cwd=checkout)
    command = ("counterpoint", "run", "--data", str(tmp_path / "market"), "--params")
    work = ("--work", str(tmp_path / "work"))
    first = run(*command, "params.yaml", *work, cwd=checkout)
    assert "next: " in first.stdout
    second = run(*command, "params.yaml", *work, cwd=checkout)
    assert second.stderr.count("unchanged") == len(STAGES) - 1 + len(TINY["grid"])


def test_a_failed_gate_of_validation_stops_the_pipeline(checkout: Path, tmp_path: Path) -> None:
    import polars as pl

    market = tmp_path / "market"
    run("counterpoint", "data", "plant", "tiny", "--to", str(market), cwd=checkout)
    table = market / "tasks" / "conversion.parquet"
    pl.read_parquet(table).with_columns(label=1 - pl.col("label")).write_parquet(table)
    work = tmp_path / "work"
    done = run(
        "counterpoint", "run", "--data", str(market), "--params", "params.yaml", "--work",
        str(work), cwd=checkout, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "funnel" in done.stderr
    assert "Traceback" not in done.stderr
    assert (work / "validation" / "validation.json").is_file()
    assert not (work / "graph").exists()
