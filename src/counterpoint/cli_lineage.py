"""`counterpoint lineage`: where a version comes from, and whether all of that is still so."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from counterpoint.cli_options import Json, Work, print_json, tracking_of
from counterpoint.errors import UserError

if TYPE_CHECKING:
    from counterpoint.registry.chain import Link

lineage_app = typer.Typer(no_args_is_help=True, help="Where a registered version comes from.")
ModelName = Annotated[str, typer.Argument(help="Name of the registered model.")]
VersionOption = Annotated[str, typer.Option("--version", help="Version number or alias.")]


@lineage_app.command("show", epilog="Example: counterpoint lineage show counterpoint --version 2")
def lineage_show(
    model: ModelName,
    version: VersionOption = "champion",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """The chain of digests from the data to a version."""
    from counterpoint.registry.chain import shown_chain

    number, links = shown_chain(tracking_of(work), model, version, work)
    _print(model, number, links, as_json)


@lineage_app.command("verify", epilog="Example: counterpoint lineage verify counterpoint")
def lineage_verify(
    model: ModelName,
    version: VersionOption = "champion",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """Rehash everything in the chain that can be reached; exit code 2 names the first break."""
    from counterpoint.registry.chain import first_broken, verified_chain

    number, links = verified_chain(tracking_of(work), model, version, work, Path.cwd())
    _print(model, number, links, as_json)
    broken = first_broken(links)
    if broken is not None:
        name = f"{model} version {number}"
        raise UserError(f"first broken link of {name}: {broken.name}: {broken.fault}")


def _print(model: str, version: int, links: "list[Link]", as_json: bool) -> None:
    if as_json:
        print_json(
            {"model": model, "version": version, "links": [link.as_json() for link in links]}
        )
        return
    from rich.table import Table

    table = Table("link", "digest", "state", "where", title=f"{model} version {version}")
    for link in links:
        table.add_row(link.name, link.stated[:12], link.state, link.fault or link.place)
    Console().print(table)
