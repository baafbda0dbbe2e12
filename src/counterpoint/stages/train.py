"""Train: one cell of the grid, all seeds in one process, or by workers that share them out."""

import shutil
from pathlib import Path
from typing import Any

from counterpoint.errors import UserError
from counterpoint.files import json_text, sha256_of_text, verified_digest
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.stages.params import Params
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import StageCall
from counterpoint.stages.torchrun import run_workers, this_worker, workers_asked
from counterpoint.training.cell import CellTrainer
from counterpoint.training.settings import Cell, TrainSettings, cell_named
from counterpoint.training.workers import train_share

# what a variant may change: anything else would give it a budget or an encoder that its twin lacks
OF_A_VARIANT = ("sharing", "weighting", "auxiliaries")
OF_A_TWIN = ("encoder", "sharing")  # its size: twins as wide as a joint model, on the same budget


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, mappings within mappings alike."""
    both = dict(base)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if nested else value
    return both


def train_settings(params: Params, cell: Cell) -> TrainSettings:
    """The training settings with the overrides of the cell's encoder, then of its variant.

    An encoder's may change anything, as joint models and twins share them; a variant's only what
    twins do not have, and a variant of twins only their size.

    Raises:
        UserError: the variant has no overrides, or they change what joint models and twins share.
    """
    values = merged(params.train, params.overrides.get(cell.encoder, {}))
    if cell.variant is not None:
        if cell.variant not in params.overrides:
            raise UserError(f"grid: {cell.name}: say under overrides.{cell.variant} what it varies")
        over = params.overrides[cell.variant]
        allowed = OF_A_TWIN if cell.is_twin else OF_A_VARIANT
        if wrong := [key for key in over if key not in allowed]:
            raise UserError(
                f"overrides.{cell.variant}: {', '.join(wrong)} is shared by joint models and twins;"
                f" a variant of {cell.architecture} changes {', '.join(allowed)} alone"
            )
        values = merged(values, over)
    return TrainSettings.model_validate(values)


def train(call: StageCall) -> None:
    """Write the run directory of ``call.cell``."""
    if call.cell is None:
        raise UserError("train needs a cell: architecture-encoder-weighting[-variant]")
    cell = cell_named(call.cell)
    settings = train_settings(call.params, cell)
    asked = min(workers_asked(), len(call.params.seeds))
    if asked > 1:
        run_workers(call, asked)
        return
    store = open_store(call.inputs["graph"])
    trainer = CellTrainer(
        store=store,
        cell=cell,
        seeds=call.params.seeds,
        settings=settings,
        target=call.output,
        scratch=_checkpoints(call, store, settings),
        report=call.report,
        pretrained=call.inputs.get("pretrained"),
    )
    worker = this_worker()
    if worker.world == 1:
        trainer.run()
    else:
        train_share(trainer, worker.rank, worker.world)
    if worker.rank == 0 and call.scratch is not None:
        shutil.rmtree(call.scratch, ignore_errors=True)


def _checkpoints(call: StageCall, store: GraphStore, settings: TrainSettings) -> Path | None:
    """Where the fits of a killed run are, if they were of this graph, these settings and this code.

    Others are left alone until a run is through: who goes back to them goes on.
    """
    if call.scratch is None:
        return None
    trunks = call.inputs.get("pretrained")
    depends = {
        "graph": store.digest,
        "pretrained": verified_digest(trunks) if trunks is not None and trunks.is_dir() else None,
        "settings": settings.model_dump(mode="json"),
        "code": code_digest("train"),
    }
    return call.scratch / sha256_of_text(json_text(depends))[:16]
