"""The main job as a KFP pipeline, built from the table of stages."""

from importlib import import_module
from typing import Any

from kfp import dsl

from components.record_failure.component import record_failure
from counterpoint.stages.table import STAGES, Stage
from pipelines.cluster import configure, confine, give_tracking

TRAIN = next(stage for stage in STAGES if stage.each)


def _component(stage: Stage) -> Any:
    return getattr(import_module(f"components.{stage.name}.component"), stage.name)


def _output_name(stage: Stage) -> str:
    return "run_out" if stage.each else f"{stage.output}_out"


def _itself(channel: Any) -> Any:
    return channel


def _arguments(stage: Stage, artifacts: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: params[name] for name in stage.params}
    arguments["code"] = params[f"{stage.name}_code"]
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


def _task(stage: Stage, arguments: dict[str, Any], gpus: int) -> Any:
    task = _component(stage)(**arguments)
    task.set_display_name(stage.name.replace("_", " "))
    configure(task, stage, gpus)
    return task


def _stages(params: dict[str, Any], gpus: int) -> None:
    """Wire every stage of the table; one flat loop over the grid."""
    artifacts: dict[str, Any] = {}
    for stage in STAGES:
        arguments = _arguments(stage, artifacts, params)
        if stage.each:
            with dsl.ParallelFor(params["grid"]) as cell:
                task = _task(stage, {**arguments, "cell": cell}, gpus)
        else:
            task = _task(stage, arguments, gpus)
        artifacts[stage.output] = task, _output_name(stage)


def _on_exit(register: Any) -> Any:
    task = record_failure(register=register)
    task.set_display_name("record failure")
    task.set_caching_options(False)
    confine(task)
    give_tracking(task)
    return task


def main_job(gpus: int = 0) -> Any:
    """The pipeline, with so many accelerators for each task that trains."""

    @dsl.pipeline(
        name="counterpoint-main-job",
        description="Tables to a gated, registered multi-task model; no task pays for another.",
    )
    def pipeline(
        data: dict,
        grid: list,
        seeds: list,
        train: dict,
        build: dict = {},  # noqa: B006  # kfp reads defaults as values
        pretrain: dict = {},  # noqa: B006
        overrides: dict = {},  # noqa: B006
        evaluate: dict = {},  # noqa: B006
        register: dict = {},  # noqa: B006
        # of the source files of each stage, so that a cache sees them; empty: not checked
        ingest_code: str = "",
        validate_code: str = "",
        build_graph_code: str = "",
        pretrain_code: str = "",
        train_code: str = "",
        evaluate_code: str = "",
        register_code: str = "",
    ) -> None:
        params = dict(locals())  # the arguments; nothing else has a name yet
        with dsl.ExitHandler(_on_exit(register), name="job"):
            _stages(params, gpus)

    return pipeline
