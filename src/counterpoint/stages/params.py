"""params.yaml: everything a pipeline run may be told, resolved once and frozen."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, ValidationError, model_validator

from counterpoint.data.schema import Strict, one_line_faults, read_yaml
from counterpoint.errors import UserError
from counterpoint.files import json_text, sha256_of_text

PARAMS_FILE = "params.yaml"


class DataParams(Strict):
    """Where the data set comes from: the planted generator, or a folder of the user's."""

    source: Literal["planted", "folder"] = "planted"
    preset: str = "demo"
    dials: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None

    @model_validator(mode="after")
    def _path_for_folders(self) -> Self:
        if (self.source == "folder") != (self.path is not None):
            raise ValueError("path goes with source: folder, and only with it")
        return self


class EvaluateParams(Strict):
    """How candidates are judged; ``margins`` by task override dataset.yaml.

    ``candidates``: test the one that is best on validation, or all of them with Holm's bounds.
    ``gate`` holds the fields of :class:`counterpoint.evaluation.evidence.GateSettings`; its looks
    default to the number of seeds.
    """

    candidates: Literal["chosen", "all"] = "chosen"
    gate: dict[str, Any] = Field(default_factory=dict)
    margins: dict[str, PositiveFloat] = Field(default_factory=dict)
    references: bool = True


class RegisterParams(Strict):
    """Registered model and tracking server; None is an sqlite file in the work folder."""

    model: str = "counterpoint"
    experiment: str = "counterpoint"
    tracking_uri: str | None = None


class Params(Strict):
    """The whole of params.yaml."""

    data: DataParams = DataParams()
    build: dict[str, Any] = Field(default_factory=dict)
    grid: tuple[str, ...]
    seeds: tuple[NonNegativeInt, ...] = tuple(range(10))
    train: dict[str, Any] = Field(default_factory=dict)
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluate: EvaluateParams = EvaluateParams()
    register_: RegisterParams = Field(default=RegisterParams(), alias="register")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds: a list of different numbers, at least one")
        if len(set(self.grid)) != len(self.grid):
            raise ValueError("grid: a cell is listed twice")
        return self

    def digest(self) -> str:
        """SHA-256 of the resolved parameters."""
        return sha256_of_text(json_text(self.model_dump(mode="json", by_alias=True)))


def parsed_params(values: Any, source: Path) -> Params:
    """Checked parameters; each fault is one line that names ``source`` and the place."""
    from counterpoint.evaluation.evidence import GateSettings
    from counterpoint.graph.build import BuildSettings
    from counterpoint.training.settings import TrainSettings, cell_named

    if not isinstance(values, dict):
        raise UserError(f"{source}: must be a mapping with at least grid")
    faults: list[str] = []
    params = None
    try:
        params = Params.model_validate(values)
        BuildSettings.model_validate(params.build)
        TrainSettings.model_validate(params.train)
        GateSettings.model_validate(params.evaluate.gate)
    except ValidationError as fault:
        raise UserError(*one_line_faults(source, fault)) from None
    cells = [cell_named(name) for name in params.grid]
    names = {cell.name for cell in cells}
    faults += [
        f"{source}: grid: {cell.name} needs its single-task twins: add {cell.twin}"
        for cell in cells
        if cell.twin not in names
    ]
    faults += [
        f"{source}: overrides: {name!r} is no encoder of the grid"
        for name in params.overrides
        if name not in {cell.encoder for cell in cells}
    ]
    if faults:
        raise UserError(*faults)
    return params


def read_params(path: Path) -> Params:
    """Read and check params.yaml."""
    return parsed_params(read_yaml(path), path)


def with_twins(grid: tuple[str, ...]) -> tuple[str, ...]:
    """The grid with the twins that its cells need, twins first."""
    from counterpoint.training.settings import cell_named

    cells = [cell_named(name) for name in grid]
    twins = tuple(dict.fromkeys(cell.twin for cell in cells))
    return twins + tuple(cell.name for cell in cells if not cell.is_twin)


DEFAULT_GRID = ("shared_bottom-gcn-fixed", "mmoe-gcn-uncertainty")


def params_for_run(data: Path | None, params: Path | None) -> Params:
    """Parameters of ``counterpoint run``: the file's or the defaults, on the folder ``data``.

    Without either the file ``params.yaml`` here is read. Missing twins are added to the grid.
    """
    if params is None and data is None:
        params = Path(PARAMS_FILE)
    values = {"grid": list(DEFAULT_GRID)} if params is None else read_yaml(params)
    source = params or Path("default parameters")
    if not isinstance(values, dict):
        raise UserError(f"{source}: must be a mapping with at least grid")
    if data is not None:
        values["data"] = {"source": "folder", "path": str(data.resolve())}
    if isinstance(values.get("grid"), list):
        values["grid"] = list(with_twins(tuple(map(str, values["grid"]))))
    return parsed_params(values, source)
