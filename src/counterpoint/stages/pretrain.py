"""Pretrain: a trunk for every encoder of the grid and every seed, from auxiliary tasks alone."""

import shutil

from counterpoint.files import json_text, sha256_of_text, write_json, write_manifest
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import StageCall
from counterpoint.stages.train import train_settings
from counterpoint.training.pretrain import (
    PretrainSettings,
    pretrained_trunk,
    trunk_path,
    write_trunk,
)
from counterpoint.training.settings import TrainSettings, cell_named

# the part of the training settings that a trunk depends on
SHAPES_A_TRUNK = {
    "encoder",
    "sharing",  # tasks stand on a bottom and towers while a trunk learns from them
    "batch_size",
    "negatives",
    "fanouts",
    "bf16",
    "threads",
    "clip",
    "weight_decay",
    "device",
}


def pretrain(call: StageCall) -> None:
    """Write the trunks, or the settings alone if there is no pre-training."""
    settings = PretrainSettings.model_validate(call.params.pretrain)
    write_json(call.output / "settings.json", settings.model_dump(mode="json"))
    if settings.epochs:
        store = open_store(call.inputs["graph"])
        cells = map(cell_named, call.params.grid)
        for cell in (cell for cell in cells if cell.is_twin):  # one an encoder
            train = train_settings(call.params, cell)
            for seed in call.params.seeds:
                _write_trunk(call, store, settings, cell.encoder, train, seed)
    write_manifest(call.output)


def _write_trunk(
    call: StageCall,
    store: GraphStore,
    settings: PretrainSettings,
    encoder: str,
    train: TrainSettings,
    seed: int,
) -> None:
    """Train a trunk, or take it from the scratch folder.

    There it is kept under the digest of all that it depends on, so that one more encoder, seed or
    change of fine-tuning does not train the others again.
    """
    depends = {
        "graph": store.digest,
        "encoder": encoder,
        "seed": seed,
        "pretrain": settings.model_dump(mode="json"),
        "train": train.model_dump(mode="json", include=SHAPES_A_TRUNK),
        "code": code_digest("pretrain"),
    }
    target = trunk_path(call.output, encoder, seed)
    target.parent.mkdir(exist_ok=True)
    kept = None
    if call.scratch is not None:
        call.scratch.mkdir(parents=True, exist_ok=True)
        kept = call.scratch / f"{sha256_of_text(json_text(depends))}.safetensors"
    if kept is None or not kept.is_file():
        trunk = pretrained_trunk(store, encoder, settings, train, seed, call.report)
        write_trunk(kept or target, trunk)
    if kept is not None:
        shutil.copyfile(kept, target)
