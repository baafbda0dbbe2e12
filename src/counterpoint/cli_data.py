"""Commands on data sets: check, add, import, plant, part."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from counterpoint.cli_options import Json, Progress, named_values, print_json
from counterpoint.errors import UserError

data_app = typer.Typer(no_args_is_help=True, help="Data sets: check, add, import, plant, part.")
Folder = Annotated[Path, typer.Argument(help="A data-set folder.")]


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

    with Progress(f"importing {name}"):
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
    with new_folder(target) as scratch, Progress(f"planting {preset}"):
        generate(planted_preset(preset, **named_values(dials)), scratch)
    print(f"{target} is made. Next: counterpoint run --data {target}")


@data_app.command(
    "part",
    epilog="Example: counterpoint data part shop --to shop-fifth --of user "
    "--share 0.2 --target buy --auxiliary view",
)
def data_part(
    folder: Folder,
    target: Annotated[Path, typer.Option("--to", help="Data-set folder to make.")],
    node_type: Annotated[
        str | None, typer.Option("--of", help="Node type to keep a share of.")
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="The share of its nodes to keep, 0 to 1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which nodes of --of.")] = 0,
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="Task that stays, as a target; repeatable.")
    ] = None,
    auxiliaries: Annotated[
        list[str] | None, typer.Option("--auxiliary", help="Task that stays, as an auxiliary one.")
    ] = None,
) -> None:
    """Write a part of a data set: a share of a type's nodes, some tasks, rows split as they were.

    Without --target and --auxiliary all tasks stay as they are.
    """
    import polars as pl

    from counterpoint.data.folder import open_folder
    from counterpoint.data.part import Roles, Share, write_part

    if (node_type is None) != (share is None):
        raise UserError("--of, --share: neither goes without the other; say --of user --share 0.2")
    if node_type is None and not (targets or auxiliaries):
        raise UserError("a part of what? say --of and --share, or the tasks that stay by --target")
    if twice := sorted({*(targets or [])} & {*(auxiliaries or [])}):
        raise UserError(f"{', '.join(twice)}: both --target and --auxiliary; choose one")
    roles: Roles = {
        **dict.fromkeys(auxiliaries or [], "auxiliary"),
        **dict.fromkeys(targets or [], "target"),
    }
    with Progress(f"taking a part of {folder}"):
        kept = Share(node_type, share, seed) if node_type and share is not None else None
        part = write_part(open_folder(folder), target, roles or None, kept)
    for table in part.tables:
        print(f"{table}: {part.scan(table).select(pl.len()).collect().item():,} rows")
    print(f"{target} is made. Next: counterpoint run --data {target}")
