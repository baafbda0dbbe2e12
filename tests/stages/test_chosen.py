from pathlib import Path

import pytest

from counterpoint.evaluation.gate import Verdict
from counterpoint.evaluation.report import Report
from counterpoint.files import write_json
from counterpoint.registry.receipt import Receipt, RunRecord, write_receipt
from counterpoint.registry.versions import VersionRecord
from counterpoint.stages import chosen


def verdict(cell: str, decision: str) -> Verdict:
    return Verdict(
        candidate=cell,
        decision=decision,
        provisional=False,
        seeds=[0],
        look="1 of 1",
        level=0.05,
        p_promote=0.5,
        tasks=[],
        mean=None,
        negative_transfer_count=0,
        worst_task="click",
        ships=None,
        reasons=[],
    )


def record(version: int, cell: str, decision: str) -> VersionRecord:
    digests = {f"{name}_digest": cell for name in ("model", "bundle", "report", "card")}
    return VersionRecord(version=version, model_id=cell, cell=cell, verdict=decision, **digests)


def write(folder: Path, best: str | None, **decisions: str) -> None:
    """An evaluation and a registration with these candidates, versions 4, 5, …"""
    dicts = ("preflight", "twins", "summaries", "references", "data_facts", "validation")
    empty = {name: {} for name in (*dicts, "lineage", "parameters")}
    candidates = [verdict(cell, decision) for cell, decision in decisions.items()]
    lists = {"reference_notes": [], "curves": []}
    report = Report(name="shop", candidates=candidates, chosen=best, **empty, **lists)
    write_json(folder / "report.json", report.model_dump(mode="json"))
    receipt = Receipt(
        tracking_uri="sqlite:///mlflow.db",
        experiment="shop",
        model="shop",
        run=RunRecord(run_id="r", digest="d"),
        cells={},
        versions=tuple(record(at, *one) for at, one in enumerate(decisions.items(), start=4)),
    )
    write_receipt(folder / "receipt.json", receipt)


@pytest.mark.parametrize(
    ("best", "decision", "version"),
    [("mmoe", "hold", "5"), ("ple", "promote", "6"), (None, "", "")],
)
def test_it_is_the_chosen_candidate_of_several(
    tmp_path: Path, best: str | None, decision: str, version: str
) -> None:
    write(tmp_path, best, shared_bottom="promote", mmoe="hold", ple="promote")
    assert chosen.decision(str(tmp_path)) == decision
    assert chosen.version(str(tmp_path), str(tmp_path)) == version


def test_a_grid_of_twins_has_none(tmp_path: Path) -> None:
    write(tmp_path, None)
    assert chosen.decision(str(tmp_path)) == ""
    assert chosen.version(str(tmp_path), str(tmp_path)) == ""
