"""Options that several commands share, and how they print."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from counterpoint.errors import UserError

if TYPE_CHECKING:
    from counterpoint.registry.tracking import Tracking

Work = Annotated[Path, typer.Option(help="Folder of all artefacts.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="Parameters.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Model = Annotated[str, typer.Option(help="Name of the registered model.")]
Version = Annotated[str, typer.Argument(help="Version number or alias.")]
Graph = Annotated[
    Path | None, typer.Option(help="Graph store with today's test set; none: the work folder's.")
]

console = Console(stderr=True)


class Progress:
    """One line that is rewritten on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.status = console.status(title)

    def __enter__(self) -> "Progress":
        if console.is_terminal:
            self.status.start()
        else:
            console.print(f"{self.title} …", highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def __call__(self, line: str) -> None:
        """Say how far it is."""
        if console.is_terminal:
            self.status.update(f"{self.title}: {line}")


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, sort_keys=True))


def tracking_of(work: Path) -> "Tracking":
    """The tracking store: MLFLOW_TRACKING_URI's, else the work folder's."""
    from counterpoint.registry.tracking import connect

    return connect(work)


def graph_of(graph: Path | None, work: Path) -> Path | None:
    """The graph store that was named, else the work folder's if it has one."""
    if graph is None and (work / "graph" / "meta.json").is_file():
        return work / "graph"
    return graph


def named_values(settings: list[str] | None) -> dict[str, str]:
    """Name to value of every name=value."""
    if wrong := [text for text in settings or [] if "=" not in text]:
        raise UserError(*(f"--set {text}: no value; write name=value" for text in wrong))
    return dict(text.split("=", 1) for text in settings or [])
