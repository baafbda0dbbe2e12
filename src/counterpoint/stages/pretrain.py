"""Pretrain: a trunk for every encoder of the grid and every seed, from auxiliary tasks alone."""

import shutil

from counterpoint.files import json_text, sha256_of_text, write_json, write_manifest
from counterpoint.graph.store import open_store
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import StageCall
from counterpoint.stages.train import train_settings
from counterpoint.training.pretrain import (
    PretrainSettings,
    pretrained_trunk,
    trunk_path,
    write_trunk,
)
from counterpoint.training.settings import cell_named


def pretrain(call: StageCall) -> None:
    """Write the trunks, or nothing but a manifest if there is no pre-training.

    A trunk is kept in the scratch folder under the digest of all that it depends on, so that one
    more encoder, seed or change of fine-tuning does not train the others again.
    """
    settings = PretrainSettings.model_validate(call.params.pretrain)
    write_json(call.output / "settings.json", settings.model_dump(mode="json"))
    for cell in {cell_named(name).encoder: cell_named(name) for name in call.params.grid}.values():
        if not settings.epochs:
            break
        store = open_store(call.inputs["graph"])
        train = train_settings(call.params, cell)
        for seed in call.params.seeds:
            target = trunk_path(call.output, cell.encoder, seed)
            target.parent.mkdir(exist_ok=True)
            shape = {"encoder", "batch_size", "negatives", "fanouts", "bf16", "threads", "clip"}
            depends = {
                "graph": store.digest,
                "encoder": cell.encoder,
                "seed": seed,
                "pretrain": settings.model_dump(mode="json"),
                "train": train.model_dump(mode="json", include=shape),
                "code": code_digest("pretrain"),
            }
            kept = None
            if call.scratch is not None:
                call.scratch.mkdir(parents=True, exist_ok=True)
                kept = call.scratch / f"{sha256_of_text(json_text(depends))}.safetensors"
            if kept is not None and kept.is_file():
                shutil.copyfile(kept, target)
                continue
            trunk = pretrained_trunk(store, cell.encoder, settings, train, seed, call.report)
            write_trunk(target, trunk)
            if kept is not None:
                write_trunk(kept, trunk)
    write_manifest(call.output)
