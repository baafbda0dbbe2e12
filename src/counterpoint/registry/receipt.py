"""What registration leaves on disk: verified against the registry, not trusted."""

from pathlib import Path

from pydantic import ValidationError

from counterpoint.data.schema import Strict, one_line_faults
from counterpoint.errors import UserError, raise_faults
from counterpoint.files import read_json, write_json
from counterpoint.registry.runs import DIGEST
from counterpoint.registry.served import stored_bundle_digest
from counterpoint.registry.tracking import Tracking
from counterpoint.registry.versions import VersionRecord, logged_model_id, version_of


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
    """Read a receipt without verifying it."""
    try:
        return Receipt.model_validate(read_json(path))
    except ValidationError as fault:
        raise UserError(*one_line_faults(path, fault)) from None


def verify_receipt(path: Path, tracking: Tracking) -> Receipt:
    """Read a receipt and compare all that it states with the registry.

    Aliases are not compared: moving them is what a registry is for.

    Raises:
        UserError: a line for each thing that the registry does not have as stated.
    """
    receipt = read_receipt(path)
    if receipt.tracking_uri != tracking.public_uri:
        raise UserError(
            f"{path}: a receipt of {receipt.tracking_uri}, this is {tracking.public_uri}; "
            "give the address of the receipt, or register here"
        )
    faults = []
    for run in (receipt.run, *receipt.cells.values()):
        faults += _run_faults(tracking, run)
    for version in receipt.versions:
        faults += _version_faults(tracking, receipt.model, version)
    raise_faults([f"{path}: {fault}; run the register stage again" for fault in faults])
    return receipt


def _run_faults(tracking: Tracking, stated: RunRecord) -> list[str]:
    from mlflow.exceptions import MlflowException

    try:
        run = tracking.client.get_run(stated.run_id)
    except MlflowException:
        return [f"run {stated.run_id} is not in the registry"]
    if run.info.lifecycle_stage != "active" or run.info.status != "FINISHED":
        state = f"{run.info.lifecycle_stage}, {run.info.status.lower()}"
        return [f"run {stated.run_id} is {state}; it must be active, finished"]
    digest = run.data.tags.get(DIGEST)
    if digest != stated.digest:
        return [f"run {stated.run_id} has the digest {digest}, not {stated.digest}"]
    return []


def _version_faults(tracking: Tracking, model: str, stated: VersionRecord) -> list[str]:
    name = f"{model} version {stated.version}"
    try:
        found = version_of(tracking, model, stated.version)
    except UserError:
        return [f"{name} is not in the registry"]
    faults = [
        f"{name} has {key} {found.tags.get(key)!r}, not {value!r}"
        for key, value in stated.tags.items()
        if found.tags.get(key) != value
    ]
    if logged_model_id(found) != stated.model_id:
        faults.append(f"{name} is model {logged_model_id(found)}, not {stated.model_id}")
    elif stored_bundle_digest(tracking, stated.model_id) != stated.bundle_digest:
        faults.append(f"the stored bundle of {name} is lost or changed")
    return faults
