"""The TrainJob: what can be known of it without a cluster that has Kubeflow Trainer."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from counterpoint import cli
from counterpoint.stages import params_file, runner
from counterpoint.stages.kfp import IMAGE_USER
from counterpoint.training.settings import cell_named

ROOT = Path(__file__).resolve().parents[2]
# what a user may patch of the runtime's pods and of its container "node" (Trainer 2.2 to 2.4)
OF_A_POD = {
    *("serviceAccountName", "volumes", "initContainers", "containers", "imagePullSecrets"),
    *("securityContext", "nodeSelector", "affinity", "tolerations", "schedulingGates"),
}
OF_NODE = {"name", "volumeMounts", "securityContext"}


@pytest.fixture
def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "pipelines" / "train_job.yaml").read_text())
    return found


def patched_pod(job: dict[str, Any]) -> Any:
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    return node["template"]["spec"]["template"]["spec"]


def test_it_is_a_train_job_of_two_nodes_with_a_pinned_image(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert job["spec"]["runtimeRef"] == {"name": "torch-distributed"}
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 1)
    assert re.fullmatch(r"counterpoint-train@sha256:[0-9a-f]{64}", trainer["image"])


def test_its_command_is_one_of_torchrun_and_of_ours(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.run import parse_args

    trainer, called = job["spec"]["trainer"], []
    assert trainer["command"] == ["python3", "-m", "torch.distributed.run"]
    torchrun = parse_args(trainer["args"])
    assert torchrun.module
    assert torchrun.training_script == "counterpoint.cli"
    monkeypatch.setattr(params_file, "read_params", lambda path: path)
    monkeypatch.setattr(runner, "run_stage", lambda *given: called.append(given))
    monkeypatch.setattr("sys.argv", ["counterpoint", *torchrun.training_script_args])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 0
    ((stage, cell, params, work, _),) = called
    assert stage.each
    assert cell_named(cell).name == cell
    (volume,) = [
        m for m in patched_pod(job)["containers"][0]["volumeMounts"] if m["name"] == "work"
    ]
    assert work == params.parent == Path(volume["mountPath"])


def test_its_pods_are_confined_and_have_a_volume_that_both_can_write(job: dict[str, Any]) -> None:
    pod = patched_pod(job)
    (node,) = pod["containers"]
    assert set(pod) <= OF_A_POD
    assert set(node) <= OF_NODE
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == IMAGE_USER
    assert node["securityContext"]["readOnlyRootFilesystem"] is True
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(volumes) == {mount["name"] for mount in node["volumeMounts"]}
    assert volumes["work"]["persistentVolumeClaim"]["claimName"]


def test_kubernetes_knows_every_field_of_the_pod(job: dict[str, Any]) -> None:
    """Its client drops what it does not know; the fields of TrainJob itself it cannot judge."""
    from kubernetes.client import ApiClient

    trainer, pod = job["spec"]["trainer"], patched_pod(job)
    for name in ("image", "command", "args"):
        pod["containers"][0][name] = trainer[name]
    pod["containers"][0]["resources"] = trainer["resourcesPerNode"]
    client = ApiClient()
    known = client.deserialize(SimpleNamespace(data=json.dumps(pod)), "V1PodSpec")
    assert client.sanitize_for_serialization(known) == pod
