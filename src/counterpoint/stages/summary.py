"""What the terminal says at the end: what was made, and what to type next."""

from pathlib import Path
from typing import TYPE_CHECKING

from counterpoint.stages.register import RECEIPT

if TYPE_CHECKING:
    from rich.console import RenderableType


def verdict_table(work: Path) -> "RenderableType":
    """The verdict a task and candidate, from report.json."""
    from counterpoint.evaluation.report import Report, verdict_lines
    from counterpoint.files import read_json

    return verdict_lines(Report.model_validate(read_json(work / "evaluation" / "report.json")))


def next_line(work: Path) -> str:
    """Report, registered versions, and the command that promotes the one that is candidate."""
    from counterpoint.registry.receipt import read_receipt

    receipt = read_receipt(work / "registration" / RECEIPT)
    lines = [f"report: {work / 'evaluation' / 'report.html'}"]
    lines += [
        f"registered: {receipt.model} version {v.version}: {v.cell}, {v.verdict}"
        for v in receipt.versions
    ]
    promotable = [v for v in receipt.versions if v.verdict == "promote"]
    options = f"--model {receipt.model} --work {work}"
    if promotable:
        lines.append(
            f"next: counterpoint models promote {promotable[-1].version}"
            f" --expect-champion none {options}"
        )
    else:
        lines.append(
            f"next: read the report; nothing may be promoted. counterpoint models list {options}"
        )
    return "\n".join(lines)
