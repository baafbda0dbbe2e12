"""The command line: parses, calls a stage, prints."""

import os
import sys
import traceback
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from counterpoint.cli_data import data_app
from counterpoint.cli_lineage import lineage_app
from counterpoint.cli_models import models_app
from counterpoint.cli_options import (
    Graph,
    Json,
    Model,
    ParamsFile,
    Progress,
    Version,
    Work,
    console,
    print_json,
    tracking_of,
)
from counterpoint.cli_pipeline import pipeline_app
from counterpoint.errors import UserError

if TYPE_CHECKING:
    from counterpoint.registry.batch import Encoding
    from counterpoint.registry.scores import Unknown

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train several tasks on one graph; prove that no task pays more than its margin.",
)
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")
app.add_typer(pipeline_app, name="pipeline")
app.add_typer(lineage_app, name="lineage")

DRIFT = 3  # exit code: the command worked, and says that something drifted


@app.command("stage", epilog="Example: counterpoint stage train --cell mmoe-gcn-uncertainty")
def stage_command(
    name: Annotated[str, typer.Argument(help="ingest, validate, build_graph, train, ...")],
    cell: Annotated[str | None, typer.Option(help="Cell of the grid, for train.")] = None,
    params: ParamsFile = Path("params.yaml"),
    work: Work = Path("work"),
) -> None:
    """Run one stage on the work folder: what `dvc repro` calls."""
    from counterpoint.stages.params_file import read_params
    from counterpoint.stages.runner import run_stage
    from counterpoint.stages.table import stage_named

    stage = stage_named(name)
    title = name if cell is None else f"{name} {cell}"
    with Progress(title) as report:
        run_stage(stage, cell, read_params(params), work, report)
    _last_words(stage.output, work)


def _last_words(artifact: str, work: Path) -> None:
    """After evaluation the verdicts, after registration what to type next."""
    from counterpoint.stages.summary import next_line, verdict_table

    if artifact == "evaluation":
        Console().print(verdict_table(work))
    if artifact == "registration":
        Console().print(next_line(work), highlight=False, soft_wrap=True)


@app.command(epilog="Example: counterpoint run --data lastfm --params lastfm.yaml")
def run(
    data: Annotated[Path | None, typer.Option(help="Data-set folder; none: params.yaml's.")] = None,
    params: Annotated[Path | None, typer.Option("--params", help="Parameters.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of all artefacts.")] = None,
) -> None:
    """The main job: ingest, validate, build graph, train, evaluate, register."""
    from counterpoint.stages.params_file import params_for_run
    from counterpoint.stages.runner import calls, run_if_needed

    resolved = params_for_run(data, params)
    folder = work or Path("work" if data is None else f"work-{data.resolve().name}")
    for stage, cell in calls(resolved):
        title = stage.name if cell is None else f"{stage.name} {cell}"
        with Progress(title) as report:
            ran = run_if_needed(stage, cell, resolved, folder, report)
        console.print(f"{title}: {'done' if ran else 'unchanged'}", highlight=False)
        if stage.output == "evaluation":
            _last_words(stage.output, folder)
    _last_words("registration", folder)


@app.command(
    epilog="Example: counterpoint score champion --task click --from pairs.parquet --to scores"
)
def score(
    version: Version,
    task: Annotated[str, typer.Option(help="Task of the model.")],
    source: Annotated[Path, typer.Option("--from", help="Parquet: src and dst, or id.")],
    target: Annotated[Path, typer.Option("--to", help="Folder of scores to make.")],
    unknown: Annotated[
        Literal["refuse", "average", "encode"],
        typer.Option(help="Rows with a node that the model does not know."),
    ] = "refuse",
    data: Annotated[
        Path | None, typer.Option(help="Data-set folder of today, which --unknown encode reads.")
    ] = None,
    model: Model = "counterpoint",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """Score the entities of a parquet file with a registered version."""
    from counterpoint.registry.batch import score_file

    rule = _unknown_rule(unknown, data)
    tracking = tracking_of(work)
    with Progress(f"scoring {source.name}"):
        scored = score_file(tracking, model, version, task, source, target, rule)
    question = scored.question
    if as_json:
        counts = {"rows": scored.rows, "unknown_rows": scored.unknown_rows, "fresh": scored.fresh}
        print_json({**question.record(), **counts, "folder": str(target)})
        return
    made = "is made" if scored.fresh else "was there already"
    print(
        f"{target} {made}: {scored.rows:,} rows of {task} by version {question.version}, "
        f"{scored.unknown_rows:,} with a node that it does not know"
    )


def _unknown_rule(
    unknown: Literal["refuse", "average", "encode"], data: Path | None
) -> "Unknown | Encoding":
    if unknown != "encode":
        if data is not None:
            raise UserError("--data: read by --unknown encode alone; ask for that, or leave it out")
        return unknown
    if data is None:
        raise UserError("--unknown encode: needs --data, the data-set folder with today's tables")
    from counterpoint.stages.encoding import encoding_from

    return encoding_from(data)


@app.command(epilog="Example: counterpoint monitor champion --work work --to drift")
def monitor(
    version: Version = "champion",
    data: Annotated[
        Path | None, typer.Option(help="Data-set folder of today; none: the work folder's.")
    ] = None,
    graph: Graph = None,
    target: Annotated[Path, typer.Option("--to", help="Folder to make.")] = Path("drift"),
    params: Annotated[
        Path | None, typer.Option("--params", help="Parameters; none: params.yaml, if it is there.")
    ] = None,
    model: Model = "counterpoint",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """Compare today's data, graph and predictions with a version's; exit code 3 says drift."""
    from counterpoint.evaluation.drift import DriftSettings
    from counterpoint.stages.monitor import monitor as compared
    from counterpoint.stages.params_file import PARAMS_FILE, read_params

    place = params or Path(PARAMS_FILE)
    values = read_params(place).monitor if params or place.is_file() else {}
    settings = DriftSettings.model_validate(values)
    tracking = tracking_of(work)
    with Progress(f"monitoring {model}"):
        drift = compared(
            tracking,
            model,
            version,
            data or work / "data",
            graph or work / "graph",
            target,
            settings,
        )
    if as_json:
        print_json({**drift.model_dump(mode="json"), "drifted": drift.drifted})
    else:
        for name in drift.drifted:
            print(f"drifted: {name}")
        found = f"{len(drift.drifted)} drifted" if drift.drifted else "no drift"
        print(f"{model} version {drift.version}: {found}; {target / 'drift.html'}")
    if drift.drifted:
        raise typer.Exit(DRIFT)


def main() -> None:
    """Run the command line; bad input exits with 2, our own faults with 1, never a traceback."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        app(standalone_mode=True)
    except UserError as fault:
        for line in fault.faults:
            print(line, file=sys.stderr)
        sys.exit(2)
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        print(f"{where}{fault.strerror or fault}", file=sys.stderr)
        sys.exit(1)
    except Exception as fault:
        log = Path(gettempdir()) / f"counterpoint-{os.getpid()}.log"
        log.write_text(traceback.format_exc())
        print(f"internal error: {type(fault).__name__}: {fault}; details in {log}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
