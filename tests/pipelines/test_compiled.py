"""The compiled pipelines: what KFP's compiler itself lets pass."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoint.stages.kfp import COMPILED
from counterpoint.stages.table import STAGES

ROOT = Path(__file__).resolve().parents[2]
Documents = tuple[dict[str, Any], dict[str, Any]]


def compiled(file: str) -> Documents:
    """Pipeline spec and platform spec."""
    spec, platform = yaml.safe_load_all((ROOT / "pipelines" / file).read_text())
    return spec, platform


@pytest.fixture(scope="module", params=COMPILED)
def documents(request: pytest.FixtureRequest) -> Documents:
    return compiled(request.param)


def images(spec: dict[str, Any]) -> dict[str, str]:
    """Executor to image; an importer, which is not run in a pod of ours, has none."""
    executors = spec["deploymentSpec"]["executors"].items()
    return {name: e["container"]["image"] for name, e in executors if "container" in e}


def dags(spec: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every component that is made of tasks, and its dag."""
    for component in [spec["root"], *spec["components"].values()]:
        if "dag" in component:
            yield component, component["dag"]


def dangling(spec: dict[str, Any]) -> list[str]:
    """References that nothing answers: components, executors, tasks, inputs, outputs."""
    components, executors = spec["components"], spec["deploymentSpec"]["executors"]
    found = [
        f"{name}: executor {component['executorLabel']}"
        for name, component in components.items()
        if "dag" not in component and component["executorLabel"] not in executors
    ]
    for component, dag in dags(spec):
        for name, task in dag["tasks"].items():
            reference = task["componentRef"]["name"]
            if reference not in components:
                found.append(f"{name}: component {reference}")
            found += [f"{name}: task {up}" for up in task.get("dependentTasks", [])
                      if up not in dag["tasks"]]  # fmt: skip
            for kind in ("parameters", "artifacts"):
                given = component.get("inputDefinitions", {}).get(kind, {})
                for place, source in task.get("inputs", {}).get(kind, {}).items():
                    found += _unanswered(f"{name}.{place}", kind, source, given, dag, components)
        for outputs in dag.get("outputs", {}).values():
            text = str(outputs)
            found += [
                f"output of {task}"
                for task in re.findall(r"'producerSubtask': '([^']*)'", text)
                if task not in dag["tasks"]
            ]
    return found


def _unanswered(
    place: str,
    kind: str,
    source: dict[str, Any],
    given: dict[str, Any],
    dag: dict[str, Any],
    components: dict[str, Any],
) -> list[str]:
    """What one input of a task refers to and nobody gives."""
    named = source.get("componentInputParameter") or source.get("componentInputArtifact")
    if named is not None:
        return [] if named in given else [f"{place}: input {named}"]
    upstream = source.get("taskOutputParameter") or source.get("taskOutputArtifact")
    if upstream is None:
        return []
    producer = dag["tasks"].get(upstream["producerTask"])
    if producer is None:
        return [f"{place}: task {upstream['producerTask']}"]
    key = upstream.get("outputParameterKey") or upstream.get("outputArtifactKey")
    outputs = components.get(producer["componentRef"]["name"], {}).get("outputDefinitions", {})
    return [] if key in outputs.get(kind, {}) else [f"{place}: output {key}"]


def test_both_documents_parse_as_kfps_own_messages(documents: Documents) -> None:
    """Unknown fields and wrong types are refused."""
    from google.protobuf.json_format import ParseDict
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

    spec, platform = documents
    named = ParseDict(spec, PipelineSpec()).pipeline_info.name
    pipelines = {name.replace("_", "-") for name, _ in COMPILED.values()}
    assert named.removeprefix("counterpoint-") in pipelines
    executors = ParseDict(platform, PlatformSpec()).platforms["kubernetes"].deployment_spec
    assert set(executors.executors) <= set(spec["deploymentSpec"]["executors"])


def test_every_executors_configuration_parses(documents: Documents) -> None:
    from google.protobuf.json_format import ParseDict
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for configuration in executors.values():
        ParseDict(configuration, KubernetesExecutorConfig())


def test_no_reference_dangles(documents: Documents) -> None:
    assert dangling(documents[0]) == []


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("promote.yaml", lambda spec: spec["components"].pop("comp-build-graph")),
        (
            "score_and_monitor.yaml",
            lambda spec: spec["deploymentSpec"]["executors"].pop("exec-importer"),
        ),
        (
            "train_and_register.yaml",
            lambda spec: _artifacts(spec, "train").update(
                graph={"componentInputArtifact": "nobody"}
            ),
        ),
        (
            "train_and_register.yaml",
            lambda spec: _artifacts(spec, "evaluate")["graph"]["taskOutputArtifact"].update(
                outputArtifactKey="nothing"
            ),
        ),
    ],
)
def test_a_dangling_reference_is_found(file: str, spoil: Any) -> None:
    spec = compiled(file)[0]
    assert dangling(spec) == []
    spoil(spec)
    assert dangling(spec)


def _task(spec: dict[str, Any], name: str) -> Any:
    return next(dag["tasks"][name] for _, dag in dags(spec) if name in dag["tasks"])


def _artifacts(spec: dict[str, Any], task: str) -> Any:
    return _task(spec, task)["inputs"]["artifacts"]


def test_every_task_is_confined_and_ends(documents: Documents) -> None:
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(images(documents[0]))
    for name, configuration in executors.items():
        assert configuration["securityContext"]["runAsNonRoot"] is True
        if name != "exec-record-failure":
            assert int(configuration["activeDeadlineSeconds"]) > 0


def test_the_tracking_server_comes_from_the_cluster_and_is_no_parameter(
    documents: Documents,
) -> None:
    spec, platform = documents
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {name for name, found in executors.items() if "MLFLOW_TRACKING_URI" in str(found)}
    of_mlflow = ("register", "record-failure", "promote", "score", "monitor")
    assert given == {f"exec-{name}" for name in of_mlflow} & set(executors)
    inputs = [
        name
        for component in [spec["root"], *spec["components"].values()]
        if component.get("executorLabel") != "exec-importer"  # its address is that of the rows
        for name in component.get("inputDefinitions", {}).get("parameters", {})
    ]
    assert not [name for name in inputs if "uri" in name or "token" in name or "password" in name]


@pytest.mark.parametrize(("file", "gpus"), [(file, gpus) for file, (_, gpus) in COMPILED.items()])
def test_accelerators_tolerations_and_shared_memory_go_together(file: str, gpus: int) -> None:
    spec, platform = compiled(file)
    executors = spec["deploymentSpec"]["executors"]
    configured = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    profits = {f"exec-{stage.name}" for stage in STAGES if stage.gpu}
    for executor in images(spec):
        resources = executors[executor]["container"].get("resources", {}).get("accelerator", {})
        wanted = gpus if executor in profits else 0
        assert int(resources.get("resourceCount", resources.get("count", 0))) == wanted
        assert ("tolerations" in configured[executor]) == bool(wanted)
        assert ("/dev/shm" in str(configured[executor])) == bool(wanted)


def test_failures_are_recorded_whatever_fails(documents: Documents) -> None:
    """The exit task waits for the whole job and runs however it ended."""
    tasks = documents[0]["root"]["dag"]["tasks"]
    assert set(tasks) == {"exit-handler-1", "record-failure"}
    exit_task = tasks["record-failure"]
    assert exit_task["dependentTasks"] == ["exit-handler-1"]
    assert exit_task["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("train_and_register.yaml", "promote"),
        ("promote.yaml", "promote"),
        ("score_and_monitor.yaml", "score"),
        ("score_and_monitor.yaml", "monitor"),
    ],
)
def test_what_asks_or_moves_the_registry_is_never_cached(file: str, name: str) -> None:
    assert not _task(compiled(file)[0], name)["cachingOptions"].get("enableCache", False)
