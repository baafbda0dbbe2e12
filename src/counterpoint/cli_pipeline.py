"""Commands on DVC and Kubeflow Pipelines: render, compile, run, submit, schedule, ask."""

from pathlib import Path
from typing import Annotated

import typer

from counterpoint.cli_options import Json, ParamsFile, named_values, print_json
from counterpoint.errors import UserError

pipeline_app = typer.Typer(no_args_is_help=True, help="DVC and Kubeflow Pipelines.")


@pipeline_app.command("dvc", epilog="Example: counterpoint pipeline dvc > dvc.yaml")
def pipeline_dvc() -> None:
    """Print dvc.yaml as the table of stages has it."""
    from counterpoint.stages.dvc import dvc_yaml

    print(dvc_yaml(), end="")


Workers = Annotated[
    int, typer.Option(min=1, help="Processes that share out the seeds of a cell, in its pod.")
]


@pipeline_app.command("compile")
def pipeline_compile(
    output: Annotated[Path, typer.Option(help="Folder for the YAML.")] = Path("pipelines"),
    workers: Workers = 1,
) -> None:
    """Compile the KFP pipelines of this checkout, the main job without and with a GPU."""
    from counterpoint.stages.kfp import COMPILED, compile_pipeline, pipeline_named

    for file, (name, gpus) in COMPILED.items():
        compile_pipeline(pipeline_named(Path.cwd(), name, gpus, workers), output / file)
        print(f"{output / file} is compiled.")


Pipeline = Annotated[
    str, typer.Option("--pipeline", help="train_and_register, score_and_monitor or promote.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Parameter of the pipeline: name=value, repeatable."),
]


@pipeline_app.command("run", epilog="Example: counterpoint pipeline run --local --root kfp")
def pipeline_run(
    local: Annotated[bool, typer.Option("--local", help="Run here, by kfp.local.")] = False,
    docker: Annotated[
        bool, typer.Option("--docker", help="Each step in its image, not in this environment.")
    ] = False,
    params: ParamsFile = Path("params.yaml"),
    root: Annotated[Path, typer.Option(help="Folder for artefacts.")] = Path("work-kfp"),
    pipeline: Pipeline = "train_and_register",
    settings: Settings = None,
) -> None:
    """Run a KFP pipeline of this checkout."""
    from counterpoint.stages.kfp_local import run_local
    from counterpoint.stages.params_file import read_params

    if not local:
        raise UserError("--local is needed; counterpoint pipeline submit runs it on a cluster")
    run_local(Path.cwd(), read_params(params), root, docker, pipeline, named_values(settings))
    print(f"The pipeline's artefacts are in {root}.")


Gpus = Annotated[int, typer.Option(min=0, help="Accelerators for each task that trains.")]


@pipeline_app.command("submit", epilog="Example: counterpoint pipeline submit --gpus 1")
def pipeline_submit(
    params: ParamsFile = Path("params.yaml"),
    gpus: Gpus = 0,
    workers: Workers = 1,
    pipeline: Pipeline = "train_and_register",
    settings: Settings = None,
) -> None:
    """Run a pipeline on the cluster of KF_PIPELINES_ENDPOINT; docs/kubeflow.md has the rest."""
    from counterpoint.stages.kfp_cluster import submit
    from counterpoint.stages.params_file import read_params

    chosen = (gpus, pipeline, named_values(settings), workers)
    run_id = submit(Path.cwd(), read_params(params), *chosen)
    print(f"run {run_id} is submitted. Next: counterpoint pipeline status {run_id}")


@pipeline_app.command(
    "schedule", epilog='Example: counterpoint pipeline schedule nightly --cron "0 0 3 * * *"'
)
def pipeline_schedule(
    name: Annotated[str, typer.Argument(help="Of the recurring run.")],
    cron: Annotated[str, typer.Option(help="Six fields: second minute hour day month weekday.")],
    params: ParamsFile = Path("params.yaml"),
    gpus: Gpus = 0,
    workers: Workers = 1,
    pipeline: Pipeline = "train_and_register",
    settings: Settings = None,
) -> None:
    """Run a pipeline on the cluster again and again."""
    from counterpoint.stages.kfp_cluster import schedule
    from counterpoint.stages.params_file import read_params

    chosen = (gpus, pipeline, named_values(settings), workers)
    made = schedule(Path.cwd(), read_params(params), name, cron, *chosen)
    print(f"recurring run {made} is made.")


@pipeline_app.command("status")
def pipeline_status(
    run_id: Annotated[str, typer.Argument(help="As submit printed it.")], as_json: Json = False
) -> None:
    """State of a run on the cluster and of its tasks; exits with 1 where it failed."""
    from counterpoint.stages.kfp_cluster import FAILED, status

    found = status(run_id)
    if as_json:
        print_json(found)
    else:
        print(f"{run_id}: {found['state']}" + (f", {found['error']}" if found["error"] else ""))
        for task in found["tasks"]:
            print(f"  {task['name']}: {task['state']}")
    if found["state"] in FAILED:
        raise typer.Exit(1)
