"""Kubeflow Pipelines: the main job of a checkout, compiled, and what it is given."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from counterpoint.errors import UserError
from counterpoint.stages.params import Params
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import STAGES

# compiled file to the accelerators of each task that trains
COMPILED = {"main_job.yaml": 0, "main_job_gpu.yaml": 1}
# who runs in an image, which must not be root; components/images/Containerfile makes it so
IMAGE_USER = 65532


def main_job(checkout: Path, gpus: int = 0) -> Any:
    """The pipeline of the checkout: components/ and pipelines/ are no part of the package."""
    if not (checkout / "pipelines" / "main_job.py").is_file():
        raise UserError(f"{checkout}: no pipelines/main_job.py; run this in a checkout")
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    return import_module("pipelines.main_job").main_job(gpus)


def compile_pipeline(checkout: Path, target: Path, gpus: int = 0) -> None:
    """Write the pipeline's IR YAML, its platform spec behind it, to the file ``target``."""
    from kfp.compiler import Compiler

    target.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(main_job(checkout, gpus), str(target))


def pipeline_arguments(params: Params) -> dict[str, Any]:
    """The pipeline's parameters: the sections of params.yaml, and what code each stage has.

    KFP's structs hold no None. The tracking server is no parameter: a cluster configures it, and a
    run must not choose another.
    """
    values = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    values["register"].pop("tracking_uri", None)
    values.pop("monitor", None)  # of a command, not of a stage
    return values | {f"{stage.name}_code": code_digest(stage.name) for stage in STAGES}
