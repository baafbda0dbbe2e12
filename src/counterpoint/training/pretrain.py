"""Pre-training: the trunk of an encoder, trained on auxiliary tasks and objectives alone.

Scheme P&F of AUX-TS (METHODS B.1 and B.8): the trunk learns from (1), then every joint model and
every twin of that encoder starts from it with heads of its own. No target task's label is used.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from counterpoint.auxiliary import AnyAuxiliary
from counterpoint.data.schema import Name, Strict, Task
from counterpoint.data.splits import SPLITS
from counterpoint.errors import UserError
from counterpoint.files import read_tensors, write_tensors
from counterpoint.graph.store import GraphMeta, GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Model
from counterpoint.training.batches import flat_entities
from counterpoint.training.loop import Trainer, chosen_device
from counterpoint.training.process import prepare_process
from counterpoint.training.settings import Cell, TrainSettings


class PretrainSettings(Strict):
    """``epochs`` 0: no pre-training. ``tasks`` None: all auxiliary tasks that the graph has.

    ``nodes`` unlabelled: nodes that a target has rows of, held-out ones too, stand apart; none of
    their edges is there and no objective asks about them (OAG and Reddit in METHODS B.8).
    """

    epochs: NonNegativeInt = 0
    tasks: tuple[Name, ...] | None = None
    auxiliaries: dict[Name, AnyAuxiliary] = Field(default_factory=dict)
    nodes: Literal["all", "unlabelled"] = "all"
    learning_rate: PositiveFloat = 1e-3


def auxiliary_tasks(settings: PretrainSettings, meta: GraphMeta) -> dict[str, Task]:
    """The auxiliary tasks of the graph that the trunk learns from.

    Raises:
        UserError: a name is none of them, or there is nothing at all to learn from.
    """
    there = {name: task for name, task in meta.trained.items() if task.role == "auxiliary"}
    wanted = tuple(there) if settings.tasks is None else settings.tasks
    if unknown := [name for name in wanted if name not in there]:
        raise UserError(
            f"pretrain.tasks: {', '.join(unknown)} is no auxiliary task of the graph; "
            f"there are {', '.join(there) or 'none'}"
        )
    if not wanted and not settings.auxiliaries:
        raise UserError(
            "pretrain: nothing to learn from; the graph has no auxiliary task: "
            "add pretrain.auxiliaries, build.metapaths, or set pretrain.epochs to 0"
        )
    if wanted and settings.nodes == "unlabelled":
        raise UserError(
            f"pretrain.nodes: unlabelled is for objectives alone, and rows of {', '.join(wanted)} "
            "may be of any node; set pretrain.tasks to []"
        )
    return {name: there[name] for name in wanted}


def labelled_nodes(store: GraphStore) -> np.ndarray:
    """``[N]`` (bool): the nodes in rows of target tasks, whatever their split."""
    labelled = np.zeros(store.meta.n_nodes, dtype=bool)
    for name, task in store.meta.tasks.items():
        if task.role == "target":
            for split in SPLITS:
                entity = store.rows(name, split).entity
                labelled[flat_entities(store.meta, task, entity).numpy()] = True
    return labelled


def unlabelled_part(store: GraphStore) -> GraphStore:
    """The store with all labelled nodes left out.

    Raises:
        UserError: every node is labelled, or no edge joins two that are not.
    """
    found = replace(store, left_out=labelled_nodes(store))
    if not len(found.edges["indices"]):
        raise UserError(
            "pretrain.nodes: unlabelled leaves no edge: a target has rows of almost every node; "
            "use all"
        )
    return found


def pretrained_trunk(
    store: GraphStore,
    encoder: str,
    settings: PretrainSettings,
    train: TrainSettings,
    seed: int,
    report: Callable[[str], None],
) -> dict[str, Tensor]:
    """Parameters of the trunk by name after ``epochs`` on the plain sum of the losses.

    Args:
        store: the graph.
        encoder: name of the encoder.
        settings: what to learn from, and how long.
        train: shape of the encoder, batches, device.
        seed: of initialisation and batches.
        report: called with a line an epoch.
    """
    prepare_process(train.threads)
    tasks = auxiliary_tasks(settings, store.meta)
    changed = {
        "auxiliaries": settings.auxiliaries,
        "learning_rate": settings.learning_rate,
        "epochs": settings.epochs,
        "weighting": {},  # task weights are for fine-tuning
    }
    cell = Cell(architecture="shared_bottom", encoder=encoder, weighting="fixed")
    seen = unlabelled_part(store) if settings.nodes == "unlabelled" else store
    graph = TrainingGraph(seen, chosen_device(train.device))
    trainer = Trainer(graph, cell, tasks, train.model_copy(update=changed), seed)
    for epoch in range(settings.epochs):
        rows = trainer.run_epoch(epoch)
        losses = [f"{row['task']} {row['value']:.4f}" for row in rows if row["name"] == "loss"]
        report(f"{encoder} seed {seed}: epoch {epoch}, {', '.join(losses)}")
    return trunk_of(trainer.model)


def trunk_of(model: Model) -> dict[str, Tensor]:
    """The trunk's parameters, detached."""
    everything = dict(model.named_parameters())
    return {name: everything[name].detach().clone() for name in model.trunk_names()}


def trunk_path(folder: Path, encoder: str, seed: int) -> Path:
    """Where the trunk of an encoder and a seed stands in the folder of pre-training."""
    return folder / encoder / f"seed-{seed}.safetensors"


def write_trunk(path: Path, trunk: dict[str, Tensor]) -> None:
    """Write a trunk as safetensors."""
    write_tensors(path, {name: tensor.cpu().numpy() for name, tensor in trunk.items()})


def load_trunk(path: Path, model: Model) -> None:
    """Start ``model`` from the trunk at ``path``, if there is one."""
    if not path.is_file():
        return
    stored, everything = read_tensors(path), dict(model.named_parameters())
    if set(stored) != set(model.trunk_names()):
        raise UserError(f"{path}: a trunk of another model; run the stage pretrain again")
    with torch.no_grad():
        for name, array in stored.items():
            everything[name].copy_(torch.from_numpy(array))
