"""The main job as a KFP pipeline, built from the table of stages."""

from importlib import import_module
from typing import Any

from kfp import dsl

from counterpoint.stages.table import STAGES, Stage

RETRIES = 2
TRAIN = next(stage for stage in STAGES if stage.each)


def _component(stage: Stage) -> Any:
    return getattr(import_module(f"components.{stage.name}.component"), stage.name)


def _output_name(stage: Stage) -> str:
    return "run_out" if stage.each else f"{stage.output}_out"


def _itself(channel: Any) -> Any:
    return channel


def _arguments(stage: Stage, artifacts: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: params[name] for name in stage.params}
    for name in stage.inputs:
        task, output = artifacts[name]
        # kfp rewires a Collected when it is consumed, so that every consumer needs its own
        wired = dsl.Collected if name == TRAIN.output else _itself
        arguments[name] = wired(task.outputs[output])
        # KFP 2.17's local runner gives the loop's item to every parameter that comes from a task,
        # so a stage of the loop takes no digest, and is not cached on a cluster
        if not stage.each:
            digest = "run_digests" if name == TRAIN.output else f"{name}_digest"
            arguments[digest] = wired(task.outputs["Output"])
    return arguments


def _task(stage: Stage, arguments: dict[str, Any]) -> Any:
    task = _component(stage)(**arguments)
    task.set_display_name(stage.name.replace("_", " "))
    task.set_caching_options(stage.cache)
    task.set_retry(RETRIES, backoff_duration="30s")
    return task


@dsl.pipeline(
    name="counterpoint-main-job",
    description="Tables to a gated, registered multi-task model; no task pays for another.",
)
def main_job(
    data: dict,
    grid: list,
    seeds: list,
    train: dict,
    build: dict = {},  # noqa: B006  # kfp reads defaults as values
    pretrain: dict = {},  # noqa: B006
    overrides: dict = {},  # noqa: B006
    evaluate: dict = {},  # noqa: B006
    register: dict = {},  # noqa: B006
) -> None:
    """Wire every stage of the table; one flat loop over the grid."""
    params = {
        "data": data,
        "grid": grid,
        "seeds": seeds,
        "train": train,
        "build": build,
        "pretrain": pretrain,
        "overrides": overrides,
        "evaluate": evaluate,
        "register": register,
    }
    artifacts: dict[str, Any] = {}
    for stage in STAGES:
        arguments = _arguments(stage, artifacts, params)
        if stage.each:
            with dsl.ParallelFor(grid) as cell:
                task = _task(stage, {**arguments, "cell": cell})
        else:
            task = _task(stage, arguments)
        artifacts[stage.output] = task, _output_name(stage)
