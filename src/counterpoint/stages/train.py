"""Train: one cell of the grid, all seeds in one process."""

from typing import Any

from counterpoint.errors import UserError
from counterpoint.graph.store import open_store
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall
from counterpoint.training.cell import CellTrainer
from counterpoint.training.settings import Cell, TrainSettings, cell_named


def train_settings(params: Params, cell: Cell) -> TrainSettings:
    """The training settings with the overrides of the cell's encoder.

    Overrides go by encoder, so that a joint model and its twins always share them.
    """

    def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
        both = dict(base)
        for key, value in over.items():
            nested = isinstance(value, dict) and isinstance(both.get(key), dict)
            both[key] = merged(both[key], value) if nested else value
        return both

    values = merged(params.train, params.overrides.get(cell.encoder, {}))
    return TrainSettings.model_validate(values)


def train(call: StageCall) -> None:
    """Write the run directory of ``call.cell``."""
    if call.cell is None:
        raise UserError("train needs a cell: architecture-encoder-weighting")
    cell = cell_named(call.cell)
    settings = train_settings(call.params, cell)
    store = open_store(call.inputs["graph"])
    CellTrainer(
        store=store,
        cell=cell,
        seeds=call.params.seeds,
        settings=settings,
        target=call.output,
        scratch=call.scratch,
        report=call.report,
        pretrained=call.inputs.get("pretrained"),
    ).run()
