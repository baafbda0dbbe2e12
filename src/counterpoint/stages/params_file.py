"""Reading params.yaml: every fault of it in one line, before any stage starts."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from counterpoint.data.schema import one_line_faults, read_yaml
from counterpoint.data.versioned import content_digest
from counterpoint.errors import UserError
from counterpoint.evaluation.drift import DriftSettings
from counterpoint.evaluation.evidence import GateSettings
from counterpoint.graph.build import BuildSettings
from counterpoint.stages.params import Params
from counterpoint.stages.train import train_settings
from counterpoint.training.pretrain import PretrainSettings
from counterpoint.training.settings import cell_named

PARAMS_FILE = "params.yaml"


def parsed_params(values: Any, source: Path) -> Params:
    """Checked parameters; each fault is one line that names ``source`` and the place."""
    if not isinstance(values, dict):
        raise UserError(f"{source}: must be a mapping with at least grid")
    try:
        params = Params.model_validate(values)
        BuildSettings.model_validate(params.build)
        PretrainSettings.model_validate(params.pretrain)
        cells = [cell_named(name) for name in params.grid]
        for cell in cells:
            train_settings(params, cell)
        GateSettings.model_validate(params.evaluate.gate)
        DriftSettings.model_validate(params.monitor)
    except ValidationError as fault:
        raise UserError(*one_line_faults(source, fault)) from None
    names = {cell.name for cell in cells}
    faults = [
        f"{source}: grid: {cell.name} needs its single-task twins: add {cell.twin}"
        for cell in cells
        if cell.twin not in names
    ]
    faults += [
        f"{source}: overrides: {name!r} is no encoder and no variant of the grid"
        for name in params.overrides
        if name not in {part for cell in cells for part in (cell.encoder, cell.variant)}
    ]
    faults += [
        f"{source}: overrides.{cell.variant}.encoder: pre-trained trunks are as wide as the "
        f"encoder; leave {cell.name} out, or pretrain.epochs 0"
        for cell in cells
        if params.pretrain.get("epochs") and cell.is_twin and cell.variant
    ]
    if faults:
        raise UserError(*faults)
    return params


def read_params(path: Path) -> Params:
    """Read and check params.yaml."""
    return parsed_params(read_yaml(path), path)


def params_text(params: Params) -> str:
    """The text of a file that :func:`read_params` reads as ``params``.

    Without the tracking server, which is of the machine and whose address may hold a password.
    """
    values = params.model_dump(mode="json", by_alias=True)
    del values["register"]["tracking_uri"]
    return yaml.safe_dump(values, sort_keys=False)


def with_twins(grid: tuple[str, ...]) -> tuple[str, ...]:
    """The grid with the twins that its cells need, twins first."""
    cells = [cell_named(name) for name in grid]
    twins = tuple(dict.fromkeys(cell.twin for cell in cells))
    return twins + tuple(cell.name for cell in cells if cell.name not in twins)


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
        digest = content_digest(data)  # so that a changed file is another data set
        values["data"] = {"source": "folder", "path": str(data.resolve()), "digest": digest}
    if isinstance(values.get("grid"), list):
        values["grid"] = list(with_twins(tuple(map(str, values["grid"]))))
    return parsed_params(values, source)
