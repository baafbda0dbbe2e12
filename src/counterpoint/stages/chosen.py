"""The candidate that was chosen on validation: its verdict, and which version it became."""

from pathlib import Path

from counterpoint.evaluation.report import Report
from counterpoint.files import read_json
from counterpoint.registry.receipt import read_receipt
from counterpoint.stages.register import RECEIPT


def decision(evaluation: str) -> str:
    """What the gate decided of the chosen candidate; empty where the grid has no candidate."""
    report = _report(evaluation)
    decisions = {verdict.candidate: verdict.decision for verdict in report.candidates}
    return decisions.get(report.chosen or "", "")


def version(evaluation: str, registration: str) -> str:
    """The number that the chosen candidate is registered under; empty where there is none."""
    chosen = _report(evaluation).chosen
    receipt = read_receipt(Path(registration) / RECEIPT)
    numbers = {record.cell: str(record.version) for record in receipt.versions}
    return numbers.get(chosen or "", "")


def _report(evaluation: str) -> Report:
    return Report.model_validate(read_json(Path(evaluation) / "report.json"))
