"""What registration leaves on disk: which runs and versions it made or found, and where."""

from pathlib import Path

from pydantic import ValidationError

from counterpoint.data.schema import Strict, one_line_faults
from counterpoint.errors import UserError
from counterpoint.files import read_json, write_json
from counterpoint.registry.versions import VersionRecord


class RunRecord(Strict):
    """A run and the digest that it is found by."""

    run_id: str
    digest: str


class Receipt(Strict):
    """What was registered where; no credentials."""

    tracking_uri: str
    experiment: str
    model: str
    run: RunRecord
    cells: dict[str, RunRecord]
    versions: tuple[VersionRecord, ...]


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write the receipt as JSON."""
    write_json(path, receipt.model_dump(mode="json"))


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        UserError: the file is none.
    """
    try:
        return Receipt.model_validate(read_json(path))
    except ValidationError as fault:
        raise UserError(*one_line_faults(path, fault)) from None
