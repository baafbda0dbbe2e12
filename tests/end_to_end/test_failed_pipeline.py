"""A pipeline that fails, by KFP's local runner: one line for who started it, a run in MLflow."""

from pathlib import Path

import yaml

from counterpoint.registry.tracking import PREFIX, connect
from tests.end_to_end.conftest import TINY, run


def test_the_exit_handler_records_a_failure(checkout: Path, tmp_path: Path) -> None:
    market = tmp_path / "market"
    run("counterpoint", "data", "plant", "tiny", "--to", str(market), cwd=checkout)
    (market / "tasks" / "click.parquet").unlink()
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({**TINY, "data": {"source": "folder", "path": str(market)}}))
    options = ("--params", str(params), "--root", str(tmp_path / "kfp"))
    done = run("counterpoint", "pipeline", "run", "--local", *options, cwd=checkout, check=False)
    assert done.returncode == 1, done.stderr
    tracking = connect(tmp_path, f"sqlite:///{tmp_path / 'kfp' / 'mlflow.db'}")
    experiments = [e.experiment_id for e in tracking.client.search_experiments()]
    (failed,) = tracking.client.search_runs(experiments)
    assert failed.info.status == "FAILED"
    assert failed.data.tags[f"{PREFIX}outcome"] == "FAILED"
    assert failed.data.tags[f"{PREFIX}failed_task"] == "exit-handler-1"
