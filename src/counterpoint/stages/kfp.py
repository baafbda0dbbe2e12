"""Kubeflow Pipelines: the pipelines of a checkout, compiled, and what they are given."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from counterpoint.errors import UserError
from counterpoint.stages.params import Params
from counterpoint.stages.sources import code_digest

TRAIN_AND_REGISTER = "train_and_register"
PIPELINES = (TRAIN_AND_REGISTER, "score_and_monitor", "promote")
# compiled file to its pipeline and the accelerators of each task that trains
COMPILED = {f"{name}.yaml": (name, 0) for name in PIPELINES} | {
    "train_and_register_gpu.yaml": (TRAIN_AND_REGISTER, 1)
}
# who runs in an image, which must not be root; components/images/Containerfile makes it so
IMAGE_USER = 65532


def pipeline_named(checkout: Path, name: str, gpus: int = 0, workers: int = 1) -> Any:
    """A pipeline of the checkout: components/ and pipelines/ are no part of the package."""
    if name not in PIPELINES:
        raise UserError(f"no pipeline {name!r}; there are {', '.join(PIPELINES)}")
    if not (checkout / "pipelines" / f"{name}.py").is_file():
        raise UserError(f"{checkout}: no pipelines/{name}.py; run this in a checkout")
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    found = getattr(import_module(f"pipelines.{name}"), name)
    return found(gpus, workers) if name == TRAIN_AND_REGISTER else found


def compile_pipeline(pipeline: Any, target: Path) -> None:
    """Write the pipeline's IR YAML, its platform spec behind it, to the file ``target``."""
    from kfp.compiler import Compiler

    target.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(pipeline, str(target))


def pipeline_arguments(
    pipeline: Any, params: Params, settings: Mapping[str, str]
) -> dict[str, Any]:
    """Values of the pipeline's parameters.

    Sections of params.yaml, what code each stage has, and ``settings``: those that params.yaml has
    nothing of. KFP's structs hold no None. The tracking server is no parameter: a cluster
    configures it, and a run must not choose another.

    Raises:
        UserError: a setting is no parameter, or is params.yaml's, or one is missing.
    """
    inputs = pipeline.component_spec.inputs
    values = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    values["register"].pop("tracking_uri", None)
    suffix = "_code"
    values |= {
        name: code_digest(name.removesuffix(suffix)) for name in inputs if name.endswith(suffix)
    }
    values = {name: value for name, value in values.items() if name in inputs}
    free = [name for name in inputs if name not in values]
    faults = [
        f"--set {name}: no parameter of {pipeline.name}; it has {', '.join(free)}"
        for name in settings
        if name not in free
    ]
    faults += [
        f"{pipeline.name} needs --set {name}=…"
        for name in free
        if name not in settings and not inputs[name].optional
    ]
    if faults:
        raise UserError(*faults)
    return values | dict(settings)
