"""The command line: parses, calls a stage, prints."""

import os
import sys
import traceback
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from counterpoint.cli_lineage import lineage_app
from counterpoint.cli_models import models_app
from counterpoint.cli_options import (
    Graph,
    Json,
    Model,
    ParamsFile,
    Version,
    Work,
    named_values,
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
data_app = typer.Typer(no_args_is_help=True, help="Data sets: check, import, plant.")
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")
app.add_typer(pipeline_app, name="pipeline")
app.add_typer(lineage_app, name="lineage")

console = Console(stderr=True)
Folder = Annotated[Path, typer.Argument(help="A data-set folder.")]


DRIFT = 3  # exit code: the command worked, and says that something drifted


class _Progress:
    """One line that is rewritten on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.status = console.status(title)

    def __enter__(self) -> "_Progress":
        if console.is_terminal:
            self.status.start()
        else:
            console.print(f"{self.title} …", highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def __call__(self, line: str) -> None:
        if console.is_terminal:
            self.status.update(f"{self.title}: {line}")


@data_app.command("check", epilog="Example: counterpoint data check my-data")
def data_check(folder: Folder, as_json: Json = False) -> None:
    """Explain every structural fault of a data-set folder, a line each."""
    from counterpoint.data.checks import faults
    from counterpoint.data.folder import open_folder

    found = faults(open_folder(folder))
    if as_json:
        print_json({"folder": str(folder), "faults": found})
    if found and not as_json:
        raise UserError(*found)
    if found:
        raise typer.Exit(2)
    if not as_json:
        print(f"{folder}: no fault. Next: counterpoint run --data {folder}")


@data_app.command("add", epilog="Example: counterpoint data add my-data")
def data_add(folder: Folder) -> None:
    """Put a data-set folder under DVC; print what params.yaml is to say of it."""
    from counterpoint.data.checks import faults
    from counterpoint.data.folder import open_folder
    from counterpoint.data.versioned import add, content_digest, path_in_repository

    if found := faults(open_folder(folder)):
        raise UserError(*found)
    place = path_in_repository(folder.resolve())
    pointer = add(folder.resolve())
    digest = content_digest(folder)
    written = [os.path.relpath(path) for path in (pointer, pointer.with_name(".gitignore"))]
    print(
        f"{folder} is under DVC. Next: git add {' '.join(written)}, commit, dvc push.\n"
        f"In params.yaml, with your repository's address and the commit:\n"
        f"data:\n  source: dvc\n  repo: ADDRESS\n  rev: COMMIT\n  path: {place}\n"
        f"  digest: {digest}"
    )


@data_app.command(
    "import", epilog="Example: counterpoint data import lastfm --from downloads/lastfm --to lastfm"
)
def data_import(
    name: Annotated[str, typer.Argument(help="Data set; docs/data-sets.md lists them.")],
    source: Annotated[Path, typer.Option("--from", help="Folder with the original files.")],
    target: Annotated[Path, typer.Option("--to", help="Data-set folder to make.")],
    accept_counts: Annotated[
        bool, typer.Option(help="Go on where counts are not the published ones.")
    ] = False,
) -> None:
    """Import a public data set from its original files and check its counts."""
    from rich.table import Table

    from counterpoint.data.importers import import_dataset

    with _Progress(f"importing {name}"):
        counts = import_dataset(name, source, target, accept_counts=accept_counts)
    table = Table("what", "found", "published", "note")
    for count in counts:
        published = "" if count.published is None else f"{count.published:,}"
        table.add_row(count.what, f"{count.found:,}", published, count.note)
    Console().print(table)
    print(f"{target} is made. Next: counterpoint run --data {target}")


@data_app.command("plant", epilog="Example: counterpoint data plant demo --to market --set seed=3")
def data_plant(
    preset: Annotated[
        str,
        typer.Argument(help="tiny, demo, logistic, aminer, criteo_r; more: docs/planted-*.md."),
    ],
    target: Annotated[Path, typer.Option("--to", help="Data-set folder to make.")],
    dials: Annotated[
        list[str] | None, typer.Option("--set", help="name=value, repeatable.")
    ] = None,
) -> None:
    """Generate a planted data set, with its truth beside it."""
    from counterpoint.data.planted import generate, planted_preset
    from counterpoint.files import new_folder

    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target}: there already; name another folder, or delete it")
    with new_folder(target) as scratch, _Progress(f"planting {preset}"):
        generate(planted_preset(preset, **named_values(dials)), scratch)
    print(f"{target} is made. Next: counterpoint run --data {target}")


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
    with _Progress(title) as report:
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
        with _Progress(title) as report:
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
    with _Progress(f"scoring {source.name}"):
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
    with _Progress(f"monitoring {model}"):
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
