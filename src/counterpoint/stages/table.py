"""The one table of stages. dvc.yaml, the KFP pipeline and the local runner are read off it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from counterpoint.stages.params import Params

Artifact = Literal[
    "data", "validation", "graph", "pretrained", "runs", "evaluation", "registration"
]


def _silent(line: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class StageCall:
    """What a stage function is given.

    ``output`` is an empty folder; the caller renames it into place. ``inputs["runs"]`` is the
    folder that holds one run directory a cell. ``scratch`` may keep checkpoints between calls.
    """

    inputs: dict[str, Path]
    output: Path
    params: Params
    cell: str | None = None
    scratch: Path | None = None
    work: Path | None = None
    report: Callable[[str], None] = _silent


@dataclass(frozen=True)
class Stage:
    """One stage: a function from input folders to one output folder.

    Attributes:
        name: of the stage, and of its module in this package and its function there.
        inputs: artefacts read.
        output: artefact written; for a stage ``each`` cell, one folder a cell below it.
        params: the top-level keys of params.yaml that it depends on.
        each: one call for every cell of the grid.
        gpu: profits from an accelerator.
        cache: may be skipped where inputs, parameters and code are the same; a gate and a stage
            whose effect lies elsewhere may not, on a cluster.
    """

    name: str
    inputs: tuple[Artifact, ...]
    output: Artifact
    params: tuple[str, ...]
    each: bool = False
    gpu: bool = False
    cache: bool = True

    @property
    def function(self) -> Callable[[StageCall], None]:
        """The stage's function, imported now."""
        found: Callable[[StageCall], None] = getattr(
            import_module(f"counterpoint.stages.{self.name}"), self.name
        )
        return found

    def output_path(self, work: Path, cell: str | None) -> Path:
        """Folder of the output below the work folder."""
        return work / self.output / cell if cell is not None else work / self.output


STAGES: tuple[Stage, ...] = (
    Stage("ingest", (), "data", ("data",)),
    Stage("validate", ("data",), "validation", (), cache=False),
    Stage("build_graph", ("data", "validation"), "graph", ("build",)),
    Stage(
        "pretrain",
        ("graph",),
        "pretrained",
        ("grid", "seeds", "pretrain", "train", "overrides"),
        gpu=True,
    ),
    Stage(
        "train",
        ("graph", "pretrained"),
        "runs",
        ("seeds", "train", "overrides"),
        each=True,
        gpu=True,
    ),
    Stage(
        "evaluate",
        ("data", "validation", "graph", "runs"),
        "evaluation",
        ("grid", "seeds", "evaluate"),
    ),
    Stage(
        "register",
        ("graph", "runs", "evaluation"),
        "registration",
        # all: they are stored with the model, so that it can be made again
        (
            *("data", "build", "grid", "seeds", "pretrain", "train", "overrides", "evaluate"),
            "register",
        ),
        cache=False,
    ),
)


def stage_named(name: str) -> Stage:
    """The stage of that name."""
    from counterpoint.errors import UserError

    for stage in STAGES:
        if stage.name == name:
            return stage
    raise UserError(f"no stage {name!r}; there are {', '.join(s.name for s in STAGES)}")
