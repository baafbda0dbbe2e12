import os
import socket
from pathlib import Path

import pytest

from counterpoint.errors import UserError
from counterpoint.registry.tracking import as_default, connect, experiment_id, redacted


def test_sqlite_in_the_work_folder_is_the_default_and_nothing_else_is_written(
    empty_store, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    work = tmp_path / "work"
    work.mkdir()
    (work / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    tracking = connect(work)
    experiment = experiment_id(tracking, "market")
    assert tracking.uri == f"sqlite:///{work}/mlflow.db"
    assert experiment_id(tracking, "market") == experiment
    place = tracking.client.get_experiment(experiment).artifact_location
    assert place.startswith((work / "mlartifacts").as_uri())
    run = tracking.client.create_run(experiment)
    tracking.client.log_text(run.info.run_id, "text", "note.txt")
    assert not list(elsewhere.iterdir())
    assert os.environ["MLFLOW_TRACKING_URI"] == ""


def test_the_argument_wins_over_the_environment(tracking, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
    assert connect(tmp_path).uri == tracking.uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert connect(tmp_path, tracking.uri).uri == tracking.uri


def test_mlflow_asks_the_environment_again_after_a_store_was_its_default(tracking, monkeypatch):
    import mlflow

    for before in ("http://127.0.0.1:9", None):
        if before is None:
            monkeypatch.delenv("MLFLOW_TRACKING_URI")
        else:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
        with as_default(tracking):
            assert mlflow.get_tracking_uri() == tracking.uri
        assert os.environ.get("MLFLOW_TRACKING_URI") == before
        assert mlflow.is_tracking_uri_set() == (before is not None)


def test_telemetry_is_off_and_no_address_is_printed(tracking):
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT as SUPPRESS

    assert MLFLOW_DISABLE_TELEMETRY.get()
    assert SUPPRESS.get()


def test_a_deleted_experiment_is_one_clear_line(tracking):
    experiment = experiment_id(tracking, "gone")
    tracking.client.delete_experiment(experiment)
    with pytest.raises(UserError, match=f"'gone' is deleted; restore it with .* -x {experiment}"):
        experiment_id(tracking, "gone")


def test_a_server_that_does_not_answer_is_one_clear_line(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UserError) as raised:
        connect(tmp_path, f"http://me:secret@127.0.0.1:{port}/?token=x")
    line = str(raised.value)
    assert line.startswith(f"http://127.0.0.1:{port}/: the tracking server does not answer")
    assert "secret" not in line
    assert "\n" not in line
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("mlruns", "mlruns: MLflow no longer tracks to a folder; give sqlite"),
        ("file:///tmp/mlruns", "file:///tmp/mlruns: MLflow no longer tracks to a folder"),
        ("sqlite:////no/such/folder/x.db", "/no/such/folder/x.db: no such folder"),
        ("sqlite:////tmp", "/tmp: a folder, not a tracking database"),
    ],
)
def test_an_address_that_cannot_be_a_store_is_refused(tmp_path, uri, line):
    with pytest.raises(UserError) as raised:
        connect(tmp_path, uri)
    assert str(raised.value).startswith(line)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "mlflow.db").write_text("this is no database")
    with pytest.raises(UserError, match=r"mlflow.db: not a sqlite database"):
        connect(tmp_path)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("https://me:secret@host/path", "https://host/path"),
        ("failed at postgresql+psycopg2://u:p%40@db:5432/x twice", None),
        ("http://token@host http://a:b@c@d/", "http://host http://d/"),
        ("s3://bucket/a@b, mail me@home", "s3://bucket/a@b, mail me@home"),
        ("see http://host/x?a=1&token=2, really? x=1", "see http://host/x really? x=1"),
    ],
)
def test_credentials_are_taken_out(text, public):
    found = redacted(text)
    assert found == (public or "failed at postgresql+psycopg2://db:5432/x twice")
