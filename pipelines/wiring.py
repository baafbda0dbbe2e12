"""How tasks are wired: the stages of the table, and what is done with a registered model."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from kfp import dsl

from components.plan_cells.component import plan_cells
from components.promote.component import promote
from components.record_failure.component import record_failure
from counterpoint.stages.table import STAGES, Stage, stage_named
from pipelines.cluster import configure, configure_stage, give_tracking

TRAIN = next(stage for stage in STAGES if stage.each)
# from today's tables to the graph with today's test set
TODAY = tuple(map(stage_named, ("ingest", "validate", "build_graph")))

Artifacts = dict[str, tuple[Any, str]]  # by name, the task and its output


def wire(
    stages: Sequence[Stage], params: dict[str, Any], gpus: int = 0, workers: int = 1
) -> Artifacts:
    """Wire the stages one after the other, one flat loop over the grid; return what they make."""
    artifacts: Artifacts = {}
    for stage in stages:
        arguments = _arguments(stage, artifacts, params)
        if stage.each:
            digests = {name: arguments.pop(name) for name in _digests(stage)}
            with dsl.ParallelFor(_plan(params["grid"], digests).output) as item:
                of_item = {name: getattr(item, name) for name in ("cell", *digests)}
                task = _task(stage, {**arguments, **of_item})
        else:
            task = _task(stage, arguments)
        configure_stage(task, stage, gpus, workers)
        artifacts[stage.output] = task, _output_name(stage)
    return artifacts


def given(artifacts: Artifacts, *names: str) -> dict[str, Any]:
    """Arguments of a task that reads these artefacts: each with its digest."""
    found: dict[str, Any] = {}
    for name in names:
        task, output = artifacts[name]
        found |= {name: task.outputs[output], f"{name}_digest": task.outputs["Output"]}
    return found


def of_registered_model(task: Any, name: str) -> Any:
    """Name and configure a task that works on the registry; it is never cached."""
    task.set_display_name(name)
    configure(task, cache=False)
    give_tracking(task)
    return task


def promotion(artifacts: Artifacts, version: Any, expect_champion: Any, params: Any) -> Any:
    """A task that makes a version champion, judged on the graph among the artefacts."""
    task = promote(
        **given(artifacts, "graph"),
        version=version,
        expect_champion=expect_champion,
        register=params["register"],
        code=params["lifecycle_code"],
    )
    return of_registered_model(task, "promote")


def on_exit(register: Any) -> Any:
    """The task of the exit handler: it records what failed."""
    task = record_failure(register=register)
    task.set_display_name("record failure")
    configure(task, cache=False)
    give_tracking(task)
    return task


def _component(stage: Stage) -> Any:
    return getattr(import_module(f"components.{stage.name}.component"), stage.name)


def _output_name(stage: Stage) -> str:
    return "run_out" if stage.each else f"{stage.output}_out"


def _itself(channel: Any) -> Any:
    return channel


def _arguments(stage: Stage, artifacts: Artifacts, params: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: params[name] for name in stage.params}
    arguments["code"] = params[f"{stage.name}_code"]
    for name in stage.inputs:
        task, output = artifacts[name]
        # kfp rewires a Collected when it is consumed, so that every consumer needs its own
        wired = dsl.Collected if name == TRAIN.output else _itself
        arguments[name] = wired(task.outputs[output])
    for digest, name in _digests(stage).items():
        wired = dsl.Collected if name == TRAIN.output else _itself
        arguments[digest] = wired(artifacts[name][0].outputs["Output"])
    return arguments


def _digests(stage: Stage) -> dict[str, str]:
    """The parameters that are digests of what a stage reads, and of what."""
    return {"run_digests" if n == TRAIN.output else f"{n}_digest": n for n in stage.inputs}


def _plan(grid: Any, digests: dict[str, Any]) -> Any:
    """The task that says what the loop goes through."""
    task = plan_cells(grid=grid, **digests)
    task.set_display_name("plan cells")
    configure(task, cache=True)
    return task


def _task(stage: Stage, arguments: dict[str, Any]) -> Any:
    task = _component(stage)(**arguments)
    task.set_display_name(stage.name.replace("_", " "))
    return task
