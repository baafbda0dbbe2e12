"""What goes to a cluster, seen by a server that keeps every request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoint.cli_pipeline import pipeline_status
from counterpoint.errors import UserError
from counterpoint.stages import kfp_cluster
from counterpoint.stages.kfp import pipeline_arguments, pipeline_named
from counterpoint.stages.params import Params
from counterpoint.stages.table import STAGES
from tests.stages.cluster import Cluster, serving

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "@sha256:" + "0" * 64
PARAMS = Params.model_validate(
    {"grid": ["single_task-gcn-fixed"], "data": {"source": "planted", "preset": "tiny"}}
)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster()
    with serving(found) as address:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", address)
        monkeypatch.setenv("COUNTERPOINT_KFP_TOKEN", "secret-token")
        monkeypatch.setenv("HOME", str(tmp_path))  # kfp keeps a context file there
        yield found


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout whose components name images by digest; they read the environment at import."""
    whole = kfp_cluster.compile_pipeline

    def compiled(pipeline: Any, target: Path) -> None:
        whole(pipeline, target)
        target.write_text(target.read_text().replace(":0.1.0", DIGEST))

    monkeypatch.setattr(kfp_cluster, "compile_pipeline", compiled)


def arguments_of(name: str, **settings: str) -> dict[str, Any]:
    return pipeline_arguments(pipeline_named(ROOT, name), PARAMS, settings)


def test_submit_sends_the_spec_the_parameters_and_the_token(cluster: Cluster, pinned: None) -> None:
    assert kfp_cluster.submit(ROOT, PARAMS) == "r1"
    run = cluster.sent("/runs")
    assert run["experiment_id"] == "e1"
    spec, parameters = run["pipeline_spec"], run["runtime_config"]["parameters"]
    assert set(spec) == {"pipeline_spec", "platform_spec"}
    assert parameters == arguments_of("train_and_register")
    assert not {"monitor", "promote", "rows"} & set(parameters)
    assert {auth for _, _, auth, _ in cluster.requests} == {"Bearer secret-token"}
    assert "secret-token" not in json.dumps([body for *_, body in cluster.requests])


def test_the_tracking_server_of_params_yaml_is_no_argument_of_a_pipeline() -> None:
    """The local runner takes it from there; it hands it over as the environment."""
    values = PARAMS.model_dump(by_alias=True)
    values["register"]["tracking_uri"] = "http://elsewhere"
    pipeline = pipeline_named(ROOT, "promote")
    settings = {"version": "1", "expect_champion": "none"}
    arguments = pipeline_arguments(pipeline, Params.model_validate(values), settings)
    assert set(arguments["register"]) == {"model", "experiment"}


@pytest.mark.parametrize("gpus", [0, 1])
def test_submit_asks_for_the_accelerators_it_is_told_to(
    cluster: Cluster, pinned: None, gpus: int
) -> None:
    kfp_cluster.submit(ROOT, PARAMS, gpus=gpus)
    spec = cluster.sent("/runs")["pipeline_spec"]["pipeline_spec"]
    executors = spec["deploymentSpec"]["executors"]
    asks = {name for name, found in executors.items() if "nvidia.com/gpu" in json.dumps(found)}
    wanted = {f"exec-{stage.name}" for stage in STAGES if stage.gpu and gpus}
    assert asks == wanted


@pytest.mark.parametrize("workers", [1, 3])
def test_submit_gives_the_workers_to_who_trains_a_cell(
    cluster: Cluster, pinned: None, workers: int
) -> None:
    kfp_cluster.submit(ROOT, PARAMS, workers=workers)
    spec = cluster.sent("/runs")["pipeline_spec"]["pipeline_spec"]
    given = {
        name: found["container"].get("env")
        for name, found in spec["deploymentSpec"]["executors"].items()
    }
    wanted = [{"name": "COUNTERPOINT_WORKERS", "value": "3"}] if workers == 3 else None
    assert given.pop("exec-train") == wanted
    assert set(given.values()) == {None}


def test_submit_leaves_every_tasks_caching_as_compiled(cluster: Cluster, pinned: None) -> None:
    kfp_cluster.submit(ROOT, PARAMS)
    spec = cluster.sent("/runs")["pipeline_spec"]["pipeline_spec"]
    tasks = {
        name: task.get("cachingOptions", {}).get("enableCache", False)
        for component in [spec["root"], *spec["components"].values()]
        for name, task in component.get("dag", {}).get("tasks", {}).items()
    }
    cached = {stage.name.replace("_", "-"): stage.cache for stage in STAGES}
    assert {name: tasks[name] for name in cached} == cached
    assert not tasks["record-failure"]
    assert "cacheKey" not in json.dumps(spec)


def test_submit_takes_another_pipeline_and_what_it_needs(cluster: Cluster, pinned: None) -> None:
    settings = {"version": "candidate", "expect_champion": "3"}
    kfp_cluster.submit(ROOT, PARAMS, pipeline="promote", settings=settings)
    run = cluster.sent("/runs")
    spec = run["pipeline_spec"]["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "counterpoint-promote"
    given = run["runtime_config"]["parameters"]
    assert given == arguments_of("promote", **settings)
    assert {"version", "expect_champion", "data", "lifecycle_code"} <= set(given)
    assert not {"grid", "seeds", "train", "monitor"} & set(given)


def test_wrong_settings_of_a_pipeline_are_a_line_each() -> None:
    with pytest.raises(UserError) as raised:
        arguments_of("score_and_monitor", task="click", champion="3", data="elsewhere")
    assert raised.value.faults == (
        "--set champion: no parameter of counterpoint-score-and-monitor; it has rows, task, "
        "version, unknown",
        "--set data: no parameter of counterpoint-score-and-monitor; it has rows, task, "
        "version, unknown",
        "counterpoint-score-and-monitor needs --set rows=…",
    )
    with pytest.raises(UserError, match="no pipeline 'main'; there are train_and_register"):
        pipeline_named(ROOT, "main")


def test_schedule_asks_for_one_run_at_a_time(cluster: Cluster, pinned: None) -> None:
    assert kfp_cluster.schedule(ROOT, PARAMS, "nightly", "0 0 3 * * *") == "j1"
    job = cluster.sent("/recurringruns")
    assert job["display_name"] == "nightly"
    assert job["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert int(job["max_concurrency"]) == 1
    assert job["no_catchup"] is True
    assert job["runtime_config"]["parameters"]["seeds"] == list(PARAMS.seeds)


def test_status_says_what_failed(cluster: Cluster) -> None:
    assert kfp_cluster.status("r1") == {
        "run": "r1",
        "state": "RUNNING",
        "error": None,
        "tasks": [
            {"name": "train", "state": "SUCCEEDED"},
            {"name": "train", "state": "RUNNING"},
        ],
    }
    cluster.state = "FAILED"
    assert kfp_cluster.status("r1")["error"] == "train ran out of memory"


def test_the_command_prints_every_cell_of_the_grid(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline_status("r1")
    assert capsys.readouterr().out == "r1: RUNNING\n  train: SUCCEEDED\n  train: RUNNING\n"


def test_an_image_without_digest_is_refused_before_anything_is_sent(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"counterpoint-train:0\.1\.0.*no digest"):
        kfp_cluster.submit(ROOT, PARAMS)
    assert not cluster.requests


def test_a_tracking_server_or_what_is_on_this_machine_is_refused(cluster: Cluster) -> None:
    values = PARAMS.model_dump(by_alias=True)
    values["register"]["tracking_uri"] = "http://elsewhere"
    values["data"] = {"source": "folder", "path": "/home/ann/market"}
    given = {"pipeline": "score_and_monitor", "settings": {"task": "click", "rows": "/home/x"}}
    with pytest.raises(UserError) as raised:
        kfp_cluster.submit(ROOT, Params.model_validate(values), **given)
    places = [line.split(":")[0] for line in raised.value.faults]
    assert places == ["register.tracking_uri", "data.path", "rows"]
    assert not cluster.requests


def test_a_refused_token_and_a_missing_cluster_are_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.refuses = True
    with pytest.raises(UserError, match=r"401.*COUNTERPOINT_KFP_TOKEN"):
        kfp_cluster.status("r1")
    monkeypatch.setenv("COUNTERPOINT_KFP_NAMESPACE", "ann")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UserError, match="does not answer"):
        kfp_cluster.status("r1")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "")
    with pytest.raises(UserError, match="KF_PIPELINES_ENDPOINT is not set"):
        kfp_cluster.status("r1")
