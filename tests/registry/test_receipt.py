import pytest

from counterpoint.errors import UserError
from counterpoint.registry.receipt import Receipt, RunRecord, read_receipt, write_receipt
from counterpoint.registry.versions import VersionRecord


def test_what_is_written_is_read(tmp_path):
    digests = {f"{name}_digest": name for name in ("model", "bundle", "report", "card")}
    version = VersionRecord(version=1, model_id="m-1", cell="mmoe", verdict="promote", **digests)
    receipt = Receipt(
        tracking_uri="sqlite:///mlflow.db",
        experiment="market",
        model="market",
        run=RunRecord(run_id="r", digest="d"),
        cells={"mmoe": RunRecord(run_id="c", digest="e")},
        versions=(version,),
    )
    write_receipt(tmp_path / "receipt.json", receipt)
    assert read_receipt(tmp_path / "receipt.json") == receipt


def test_a_file_that_is_no_receipt_is_one_line_a_fault(tmp_path):
    (tmp_path / "receipt.json").write_text("{}")
    with pytest.raises(UserError, match=r"receipt.json: tracking_uri: Field required"):
        read_receipt(tmp_path / "receipt.json")
