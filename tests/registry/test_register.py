import json
from dataclasses import replace

import pytest

from counterpoint.registry.records import RegistrySettings
from counterpoint.registry.register import register
from counterpoint.registry.runs import PARENT
from counterpoint.registry.tracking import connect, experiment_id
from counterpoint.registry.verification import model_faults
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


@pytest.mark.parametrize("injected", ["nothing", "a run", "no run"])
def test_what_a_cluster_injects_changes_nothing(
    tracking, settings, tmp_path, monkeypatch, injected
):
    """KFP's MLflow plugin names a run of its own in the pod's environment, and its experiment."""
    client = tracking.client
    elsewhere = experiment_id(tracking, f"{settings.experiment}-plugin")
    run_id = client.create_run(elsewhere).info.run_id
    before = client.get_run(run_id).to_dictionary()
    if injected != "nothing":
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id if injected == "a run" else "0" * 32)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", elsewhere if injected == "a run" else "987654")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
        settings = settings.model_copy(update={"tracking_uri": None})
    record = make_record(tmp_path / "run", mmoe="promote", shared_bottom="hold")
    receipt = register(record, settings, tmp_path / "receipt.json")
    assert counts(tracking, settings.model) == (4, 2, 2)
    assert model_faults(tracking, settings.model) == []
    runs = {receipt.run.run_id, *(cell.run_id for cell in receipt.cells.values())}
    assert run_id not in runs
    experiment = experiment_id(tracking, settings.experiment)
    for each in map(client.get_run, runs):
        assert each.info.experiment_id == experiment
        assert each.info.status == "FINISHED"
        parent = each.data.tags.get(PARENT)
        assert parent == (None if each.info.run_id == receipt.run.run_id else receipt.run.run_id)
    assert client.get_run(run_id).to_dictionary() == before
    assert not client.list_artifacts(run_id)
    assert [run.info.run_id for run in client.search_runs([elsewhere])] == [run_id]
    assert not client.search_logged_models([elsewhere])


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
