from dataclasses import replace

import pytest

from counterpoint.errors import UserError
from counterpoint.registry.runs import PARENT, ended, log_cell, log_verdict, pipeline_run
from counterpoint.registry.tracking import experiment_id

from .conftest import make_record


@pytest.fixture(scope="module")
def experiment(tracking):
    return experiment_id(tracking, "runs")


@pytest.fixture
def record(tmp_path):
    return make_record(tmp_path, mmoe="promote")


def test_a_cell_is_logged_whole(tracking, experiment, record):
    parent = pipeline_run(tracking, experiment, record)
    cell = record.cells[0]
    run = tracking.client.get_run(log_cell(tracking, experiment, parent, record, cell))
    assert run.info.run_name == "mmoe"
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "counterpoint.architecture": "mmoe",
        "counterpoint.train.lr": "0.1",
        "counterpoint.train.seeds": "[0, 1]",
        "counterpoint.empty": "{}",
    }
    assert run.data.metrics == {
        "click/test/auc": 0.8,
        "click/test/auc_mean": 0.75,
        "click/test/hr_10": 0.1,
        "click/test/hr_10_mean": 0.1,
        "training/joint/weight/click": 4.0,
        "training/joint/cosine/buy_click": -0.5,
    }
    weights = tracking.client.get_metric_history(run.info.run_id, "training/joint/weight/click")
    assert {metric.step: metric.value for metric in weights} == {0: 1.5, 1: 4.0}
    history = tracking.client.get_metric_history(run.info.run_id, "click/test/auc")
    assert {metric.step: metric.value for metric in history} == {0: 0.7, 1: 0.8}
    assert run.data.tags[PARENT] == parent
    assert run.data.tags["counterpoint.digest"] == cell.digest
    assert run.data.tags["counterpoint.graph_digest"] == "g" * 64
    assert len(run.data.tags["counterpoint.folder_digest"]) == 64
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.name == "market"
    assert record.lineage["data_digest"].startswith(data.dataset.digest)
    files = {file.path for file in tracking.client.list_artifacts(run.info.run_id)}
    assert files == {"manifest.json", "config.json", "metrics.json", "history.parquet"}


def test_no_credential_is_logged(tracking, experiment, record):
    secret = replace(record, lineage={**record.lineage, "remote": "https://me:secret@host/repo"})
    run = tracking.client.get_run(pipeline_run(tracking, experiment, secret))
    assert run.data.params["counterpoint.store"] == "http://host:5000/x"
    assert "secret" not in str({**run.data.tags, **run.data.params})


def test_a_run_is_found_again(tracking, experiment, record):
    parent = pipeline_run(tracking, experiment, record)
    first = log_cell(tracking, experiment, parent, record, record.cells[0])
    before = tracking.client.get_run(first).to_dictionary()
    assert pipeline_run(tracking, experiment, record) == parent
    assert log_cell(tracking, experiment, parent, record, record.cells[0]) == first
    assert tracking.client.get_run(first).to_dictionary() == before


def test_a_cell_shared_by_two_pipeline_runs_has_a_run_under_each(tracking, experiment, record):
    other = replace(record, params={"seeds": 3})
    parents = [pipeline_run(tracking, experiment, each) for each in (record, other)]
    cells = [log_cell(tracking, experiment, p, record, record.cells[0]) for p in parents]
    assert len({*parents, *cells}) == 4


def test_what_was_killed_goes_on_and_logs_nothing_twice(tracking, experiment, record, monkeypatch):
    parent = pipeline_run(tracking, experiment, record)
    cell = record.cells[0]
    with monkeypatch.context() as patch:
        patch.setattr(tracking.client, "log_inputs", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            log_cell(tracking, experiment, parent, record, cell)
    (failed,) = tracking.client.search_runs(
        [experiment], f"tags.`counterpoint.digest` = '{cell.digest}'"
    )
    assert failed.info.status == "FAILED"
    run_id = log_cell(tracking, experiment, parent, record, cell)
    assert run_id == failed.info.run_id
    assert tracking.client.get_run(run_id).info.status == "FINISHED"
    assert len(tracking.client.get_metric_history(run_id, "click/test/auc")) == 2


def test_a_tampered_run_directory_is_refused(tracking, experiment, record):
    parent = pipeline_run(tracking, experiment, record)
    (record.cells[0].folder / "metrics.json").write_text('{"auc": 1}')
    with pytest.raises(UserError, match=r"metrics.json: its SHA-256 is not the manifest's"):
        log_cell(tracking, experiment, parent, record, record.cells[0])


def test_the_verdict_and_report_stand_on_the_parent(tracking, experiment, record):
    parent = pipeline_run(tracking, experiment, record)
    with ended(tracking, parent):
        log_verdict(tracking, parent, record.candidates[0])
        log_verdict(tracking, parent, record.candidates[0])
    run = tracking.client.get_run(parent)
    assert run.data.tags["counterpoint.verdict.mmoe"] == "promote"
    (report,) = tracking.client.list_artifacts(parent, "reports/mmoe")
    assert report.path == "reports/mmoe/mmoe.html"
    assert run.info.status == "FINISHED"
