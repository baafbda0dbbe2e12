"""Kubeflow Pipelines: compile the main job, or run it here without a cluster."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from counterpoint.errors import UserError
from counterpoint.stages.params import Params

GOLDEN = "main_job.yaml"


def _main_job(checkout: Path) -> Any:
    """The pipeline of the checkout: components/ and pipelines/ are no part of the package."""
    if not (checkout / "pipelines" / "main_job.py").is_file():
        raise UserError(f"{checkout}: no pipelines/main_job.py; run this in a checkout")
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    return import_module("pipelines.main_job").main_job


def compile_pipeline(checkout: Path, target: Path) -> Path:
    """Write the pipeline's IR YAML into the folder ``target``."""
    from kfp.compiler import Compiler

    target.mkdir(parents=True, exist_ok=True)
    path = target / GOLDEN
    Compiler().compile(_main_job(checkout), str(path))
    return path


def pipeline_arguments(params: Params) -> dict[str, Any]:
    """The pipeline's parameters: the sections of params.yaml; KFP's structs hold no None."""
    return params.model_dump(mode="json", by_alias=True, exclude_none=True)


def run_local(checkout: Path, params: Params, root: Path) -> None:
    """Run the pipeline by KFP's SubprocessRunner in this environment.

    Artefacts go below ``root``; without a tracking server MLflow's sqlite file does too.
    """
    from kfp import local

    arguments = pipeline_arguments(params)
    if "tracking_uri" not in arguments["register"]:
        uri = f"sqlite:///{root.resolve() / 'mlflow.db'}"
        arguments["register"] = {**arguments["register"], "tracking_uri": uri}
    python_path = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONPATH"] = python_path.rstrip(os.pathsep)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    _main_job(checkout)(**arguments)
