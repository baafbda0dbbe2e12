"""Kubeflow Pipelines: the main job of a checkout, compiled, and what it is given."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from counterpoint.errors import UserError
from counterpoint.stages.params import Params

GOLDEN = "main_job.yaml"


def main_job(checkout: Path) -> Any:
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
    Compiler().compile(main_job(checkout), str(path))
    return path


def pipeline_arguments(params: Params) -> dict[str, Any]:
    """The pipeline's parameters: the sections of params.yaml; KFP's structs hold no None.

    The tracking server is no parameter: a cluster configures it, and a run must not choose another.
    """
    values = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    values["register"].pop("tracking_uri", None)
    return values
