"""Components called as plain functions, and their READMEs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kfp.dsl import Artifact, PipelineTaskFinalStatus

from components.build_graph.component import build_graph
from components.evaluate.component import evaluate
from components.ingest.component import ingest
from components.plan_cells.component import plan_cells
from components.pretrain.component import pretrain
from components.readme import HERE, component_names, readme
from components.record_failure.component import record_failure
from components.register.component import register
from components.train.component import train
from components.validate.component import validate
from counterpoint.errors import UserError
from counterpoint.files import verified_digest
from counterpoint.registry.tracking import connect
from counterpoint.stages.sources import code_digest

TINY = {"source": "planted", "preset": "tiny"}


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[[str], Artifact]:
    """An artefact's place, as KFP would hand it over."""
    return lambda name: Artifact(name=name, uri=str(tmp_path / name))


@pytest.mark.parametrize("name", component_names())
def test_readme_is_rendered(name: str) -> None:
    assert (HERE / name / "README.md").read_text() == readme(name), "run `make golden`"


def test_data_components_hand_over_folders_and_their_digests(
    artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    data, validation, graph = map(artifact, ("data", "validation", "graph"))
    data_digest = ingest.python_func(TINY, code_digest("ingest"), data)
    assert data_digest == verified_digest(tmp_path / "data")
    validation_digest = validate.python_func(data, data_digest, "", validation)
    given = (data, validation, data_digest, validation_digest, {}, "", graph)
    assert build_graph.python_func(*given) == verified_digest(tmp_path / "graph")


def test_other_bytes_than_the_pipeline_passed_are_refused(
    artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    data = artifact("data")
    ingest.python_func(TINY, "", data)
    with pytest.raises(UserError, match="its digest is not 000000000000"):
        validate.python_func(data, "0" * 64, "", artifact("validation"))
    assert not (tmp_path / "validation").exists()


def test_an_image_with_other_code_than_the_pipeline_is_refused(
    artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="ingest: the image has other source files"):
        ingest.python_func(TINY, "0" * 64, artifact("data"))
    assert not (tmp_path / "data").exists()


def test_a_tracking_server_that_a_pipeline_names_is_refused(
    artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    """Who starts the compiled pipeline must not choose which server gets the credentials."""
    graph, evaluation, registration = map(artifact, ("graph", "evaluation", "registration"))
    settings = {"tracking_uri": "http://elsewhere"}
    given = (graph, [], evaluation, "", [], "", {}, {}, ["single_task-gcn-fixed"], [0])
    given = (*given, {}, {}, {}, {}, settings, "")
    with pytest.raises(UserError, match=r"register\.tracking_uri: .*MLFLOW_TRACKING_URI"):
        register.python_func(*given, registration)
    assert not (tmp_path / "registration").exists()


def test_a_failure_is_a_failed_run_and_a_success_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for state in ("SUCCEEDED", "FAILED"):
        status = PipelineTaskFinalStatus(
            state=state,
            pipeline_job_resource_name="job-1",
            pipeline_task_name="train",
            error_code=137,
            error_message="killed at https://ann:secret@store/x",
        )
        record_failure.python_func(status, {"experiment": "shop"})
    client = connect(tmp_path).client
    (experiment,) = [e for e in client.search_experiments() if e.name == "shop"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["counterpoint.kfp_run"] == "job-1"
    assert run.data.tags["counterpoint.failed_task"] == "train"
    assert "137" in run.data.tags["counterpoint.reason"]
    assert "secret" not in str(run.data.tags)


def test_training_components_hand_over_folders_and_their_digests(
    artifact: Callable[[str], Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other by what a pipeline passes: folders, digests, sections of params.yaml."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    names = ("data", "validation", "graph", "pretrained", "evaluation", "registration")
    data, validation, graph, pretrained, evaluation, registration = map(artifact, names)
    grid = ["single_task-mlp-fixed", "shared_bottom-mlp-fixed"]
    settings = {"epochs": 1, "encoder": {"width": 4}, "sharing": {"width": 4, "tower_width": 4}}
    d = {"data": ingest.python_func(TINY, "", data)}
    d["validation"] = validate.python_func(data, d["data"], "", validation)
    given = (data, validation, d["data"], d["validation"])
    d["graph"] = build_graph.python_func(*given, {}, "", graph)
    of_graph = (graph, d["graph"])
    told = (grid, [0, 1], {}, settings, {}, code_digest("pretrain"))
    d["pretrained"] = pretrain.python_func(*of_graph, *told, pretrained)
    runs, digests = [], []
    for item in plan_cells.python_func(grid, d["graph"], d["pretrained"]):
        run = artifact(item["cell"])
        told = (d["graph"], d["pretrained"], [0, 1], settings, {}, code_digest("train"))
        digests.append(train.python_func(item["cell"], graph, pretrained, *told, run))
        runs.append(run)
    with pytest.raises(UserError, match="its digest is not 000000000000"):
        train.python_func(grid[0], graph, pretrained, "0" * 64, *told[1:], artifact("other"))
    of_data = (d["data"], d["validation"], d["graph"])
    told = (digests, grid, [0, 1], {"references": False}, "")
    judged, decision = evaluate.python_func(
        data, validation, graph, runs, *of_data, *told, evaluation
    )
    assert judged == verified_digest(tmp_path / "evaluation")
    assert decision in ("promote", "hold", "reject")
    told = (d["graph"], digests, judged, TINY, {}, grid, [0, 1], {}, settings, {})
    told = (*told, {"references": False}, {"model": "shop"}, "")
    receipt, version = register.python_func(graph, runs, evaluation, *told, registration)
    assert (receipt, version) == (verified_digest(tmp_path / "registration"), "1")
    for name, run, digest in zip(grid, runs, digests, strict=True):
        assert digest == verified_digest(Path(run.path)), name
