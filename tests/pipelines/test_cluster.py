"""What a task is told of where it runs, and what KFP's local runner makes of that."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl, local
from kfp.compiler import Compiler

from pipelines.cluster import give_origin

DIGEST = "sha256:" + "a" * 64


def pipeline_in(image: str) -> Any:
    """A pipeline of one task in the image, which returns what it was told."""

    @dsl.component(base_image=image, install_kfp_package=False)
    def told() -> str:
        import os

        names = ("KFP_RUN_ID", "COUNTERPOINT_IMAGE_DIGEST")
        return " ".join(os.environ.get(name, "nothing") for name in names)

    @dsl.pipeline
    def pipeline() -> str:
        task = told()
        give_origin(task)
        return task.output

    return pipeline


@pytest.mark.parametrize(
    ("image", "env"),
    [
        (f"host/python@{DIGEST}", [{"name": "COUNTERPOINT_IMAGE_DIGEST", "value": DIGEST}]),
        ("host:5000/python:3.11", None),
    ],
)
def test_a_pod_is_told_its_run_and_the_digest_of_a_pinned_image(
    tmp_path: Path, image: str, env: Any
) -> None:
    Compiler().compile(pipeline_in(image), str(tmp_path / "one.yaml"))
    spec, platform = yaml.safe_load_all((tmp_path / "one.yaml").read_text())
    assert spec["deploymentSpec"]["executors"]["exec-told"]["container"].get("env") == env
    configured = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-told"]
    assert configured["fieldPathAsEnv"] == [
        {"name": "KFP_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}
    ]


def test_the_local_runner_takes_the_digest_and_knows_no_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KFP_RUN_ID", raising=False)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    assert pipeline_in(f"python@{DIGEST}")().output == f"nothing {DIGEST}"
