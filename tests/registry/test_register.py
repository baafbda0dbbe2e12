import json
from dataclasses import replace

import pytest

from counterpoint.registry.records import RegistrySettings
from counterpoint.registry.register import register
from counterpoint.registry.tracking import connect, experiment_id
from counterpoint.registry.versions import aliases

from .conftest import make_record


@pytest.fixture
def settings(tracking, tmp_path):
    return RegistrySettings(
        work=tmp_path, tracking_uri=tracking.uri, model=tmp_path.name, experiment=tmp_path.name
    )


def counts(tracking, name):
    client = tracking.client
    experiment = experiment_id(tracking, name)
    return (
        len(client.search_runs([experiment])),
        len(client.search_model_versions(f"name = '{name}'")),
        len(client.search_logged_models([experiment])),
    )


def test_a_pipeline_run_is_registered_once(tracking, settings, tmp_path):
    record = make_record(tmp_path / "run", mmoe="promote", shared_bottom="reject")
    receipt = register(record, settings, tmp_path / "receipt.json")
    assert counts(tracking, settings.model) == (4, 2, 2)  # a parent, three cells
    assert [version.verdict for version in receipt.versions] == ["promote", "reject"]
    assert aliases(tracking, settings.model) == {"candidate": 1}
    text = (tmp_path / "receipt.json").read_text()
    again = register(record, settings, tmp_path / "receipt.json")
    assert again == receipt
    assert (tmp_path / "receipt.json").read_text() == text
    assert counts(tracking, settings.model) == (4, 2, 2)


def test_a_failed_registration_goes_on(tracking, settings, tmp_path, monkeypatch):
    record = make_record(tmp_path / "run", mmoe="promote", shared_bottom="hold")
    broken = replace(record.candidates[1], bundle=tmp_path / "nowhere")
    with pytest.raises(Exception, match="nowhere"):
        register(
            replace(record, candidates=[record.candidates[0], broken]),
            settings,
            tmp_path / "receipt.json",
        )
    assert not (tmp_path / "receipt.json").exists()
    receipt = register(record, settings, tmp_path / "receipt.json")
    assert tracking.client.get_run(receipt.run.run_id).info.status == "FINISHED"
    assert counts(tracking, settings.model) == (4, 2, 2)


def test_no_credential_is_in_the_receipt(tracking, settings, tmp_path):
    record = make_record(tmp_path / "run", mmoe="promote")
    # sqlite has no password; what follows the question mark is where others carry theirs
    secret = settings.model_copy(update={"tracking_uri": f"{tracking.uri}?timeout=12345678901"})
    register(record, secret, tmp_path / "receipt.json")
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert receipt["tracking_uri"] == tracking.uri
    assert "12345678901" not in json.dumps(receipt)
    assert connect(tmp_path, secret.tracking_uri).public_uri == tracking.uri
