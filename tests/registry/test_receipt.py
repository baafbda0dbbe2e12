import json

import pytest

from counterpoint.errors import UserError
from counterpoint.registry.promotion import promote
from counterpoint.registry.receipt import read_receipt, verify_receipt, write_receipt
from counterpoint.registry.records import RegistrySettings
from counterpoint.registry.register import register

from .conftest import make_record

MODEL = "receipts"


@pytest.fixture(scope="module")
def issued(tracking, tmp_path_factory):
    folder = tmp_path_factory.mktemp("issued")
    record = make_record(folder / "run", mmoe="promote", shared_bottom="reject")
    settings = RegistrySettings(work=folder, tracking_uri=tracking.uri, model=MODEL)
    register(record, settings, folder / "receipt.json")
    return folder / "receipt.json"


@pytest.fixture
def changed(issued, tmp_path):
    """The receipt with another value somewhere inside."""

    def write(change):
        receipt = json.loads(issued.read_text())
        change(receipt)
        (tmp_path / "receipt.json").write_text(json.dumps(receipt))
        return tmp_path / "receipt.json"

    return write


def test_a_true_receipt_verifies_also_after_a_promotion(tracking, issued):
    receipt = verify_receipt(issued, tracking)
    assert receipt == read_receipt(issued)
    promote(tracking, MODEL, 1, expect_champion=None)
    assert verify_receipt(issued, tracking) == receipt


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda r: r["versions"][0].update(verdict="hold"), "verdict 'promote', not 'hold'"),
        (lambda r: r["versions"][1].update(version=7), "receipts version 7 is not in the registry"),
        (lambda r: r["versions"][1].update(model_digest="x"), "has counterpoint.model_digest"),
        (lambda r: r["versions"][0].update(model_id="m-1"), ", not m-1"),
        (lambda r: r["run"].update(run_id="0" * 32), "run 0{32} is not in the registry"),
        (lambda r: r["run"].update(digest="x"), "has the digest .*, not x"),
        (lambda r: r["cells"]["twin"].update(digest="x"), "has the digest .*, not x"),
    ],
)
def test_a_receipt_that_states_something_else_is_found(tracking, changed, change, line):
    with pytest.raises(UserError, match=line + ".*; run the register stage again"):
        verify_receipt(changed(change), tracking)


def test_all_that_is_wrong_is_named_at_once(tracking, changed):
    def change(receipt):
        receipt["run"]["digest"] = "x"
        receipt["versions"][0]["cell"] = "y"

    with pytest.raises(UserError) as raised:
        verify_receipt(changed(change), tracking)
    assert len(raised.value.faults) == 2


def test_a_receipt_of_another_registry_is_not_compared(tracking, changed):
    path = changed(lambda receipt: receipt.update(tracking_uri="http://elsewhere"))
    with pytest.raises(UserError, match=f"a receipt of http://elsewhere, this is {tracking.uri}"):
        verify_receipt(path, tracking)


def test_a_registry_that_lost_something_is_found(tracking, issued):
    receipt = read_receipt(issued)
    logged = tracking.client.get_logged_model(receipt.versions[1].model_id)
    from pathlib import Path

    place = Path(logged.artifact_location.removeprefix("file://"))
    manifest = place / "artifacts/bundle/manifest.json"
    text = manifest.read_text()
    manifest.unlink()
    tracking.client.delete_run(receipt.cells["twin"].run_id)
    with pytest.raises(UserError) as raised:
        verify_receipt(issued, tracking)
    assert "is deleted, finished; it must be active, finished" in raised.value.faults[0]
    assert "the stored bundle of receipts version 2 is lost or changed" in raised.value.faults[1]
    tracking.client.restore_run(receipt.cells["twin"].run_id)
    manifest.write_text(text)


def test_a_file_that_is_no_receipt_is_one_line_a_fault(tracking, tmp_path, issued):
    (tmp_path / "receipt.json").write_text("{}")
    with pytest.raises(UserError, match=r"receipt.json: tracking_uri: Field required"):
        verify_receipt(tmp_path / "receipt.json", tracking)
    write_receipt(tmp_path / "receipt.json", read_receipt(issued))
    assert (tmp_path / "receipt.json").read_text() == issued.read_text()
