"""A trained model to the bundle that is served: final representations, heads, ids."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoint.data.schema import Task
from counterpoint.errors import UserError
from counterpoint.files import sha256_of_file
from counterpoint.graph.store import GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Model, Representations, TaskBatch, probabilities
from counterpoint.registry.bundle import DotHead, LinearHead, write_bundle
from counterpoint.registry.identity import entity_hashes
from counterpoint.training.batches import flat_entities
from counterpoint.training.cell import JOINT, Run
from counterpoint.training.scoring import full_representations, pair_factors_of

EXAMPLES = 5  # a task: enough to notice a bundle that does not score what training scored


@torch.no_grad()
def _head(
    graph: TrainingGraph, model: Model, representations: Representations, name: str, task: Task
) -> DotHead | LinearHead:
    h, store = representations[name], graph.store
    if not task.is_pair:
        (node_type,) = task.node_types
        first, count = store.meta.offsets[node_type], store.meta.count(node_type)
        rows = torch.arange(first, first + count)
        batch = TaskBatch(name, graph.view(0), rows, torch.zeros(count))
        logits = model.logits(representations, batch).view(count, -1).numpy()
        return LinearHead(task.kind, task.node_types, logits, model.condition(name))
    if not model.factorised:
        raise UserError(
            f"register: task {name}: the model scores its pairs one by one, which a bundle of "
            "vectors cannot; take the cell out of the grid, or stop after evaluate"
        )
    src, dst = pair_factors_of(model, graph, h, name)
    return DotHead(
        task.kind,
        task.node_types,
        src=src.vector.numpy(),
        dst=dst.vector.numpy(),
        src_bias=src.bias.numpy(),
        dst_bias=dst.bias.numpy(),
        bias=np.zeros((), dtype=np.float32),
        condition=model.condition(name),
    )


@torch.no_grad()
def _examples(
    graph: TrainingGraph,
    model: Model,
    representations: Representations,
    ids: dict[str, np.ndarray],
    name: str,
) -> list[dict[str, Any]]:
    """The first validation rows with the score that training's own code gives them."""
    task = model.tasks[name]
    entity = graph.store.rows(name, "valid").entity[:EXAMPLES]
    label = torch.zeros(len(entity))
    batch = TaskBatch(name, graph.view(0), flat_entities(graph.meta, task, entity), label)
    score = probabilities(task.kind, model.score(representations, batch)).tolist()
    columns = entity.T if task.is_pair else entity[None]
    named = [
        ids[node_type][column].tolist()
        for node_type, column in zip(task.node_types, columns, strict=True)
    ]
    return [
        {"task": name, **dict(zip(task.id_columns, key, strict=True)), "score": value}
        for *key, value in zip(*named, score, strict=True)
    ]


def trained_rows(store: GraphStore, name: str, ids: dict[str, np.ndarray]) -> np.ndarray:
    """Identities of the entities that training had of one task, sorted, each once ``[n]``."""
    entity = store.rows(name, "train").entity
    return np.unique(entity_hashes(store.meta.tasks[name].node_types, entity, ids))


def model_digest(run: Run, seed: int) -> str:
    """SHA-256 of the weights of one seed."""
    return sha256_of_file(run.path / f"seed-{seed}" / f"{JOINT}.safetensors")


def write_served(store: GraphStore, run: Run, seed: int, target: Path) -> None:
    """Write the bundle of one seed's joint model, computed on full neighbourhoods on the CPU.

    It serves the data set's tasks; those that graph construction made up it does not.
    """
    graph, tasks = TrainingGraph(store), store.meta.tasks
    model = run.model(store, seed).eval()
    representations = full_representations(model, graph)
    types = {node_type for task in tasks.values() for node_type in task.node_types}
    ids = {node_type: store.ids(node_type) for node_type in sorted(types)}
    examples = [
        example for name in tasks for example in _examples(graph, model, representations, ids, name)
    ]
    write_bundle(
        target,
        {name: _head(graph, model, representations, name, t) for name, t in tasks.items()},
        ids,
        examples,
        trained_on={name: trained_rows(store, name, ids) for name in tasks},
        graph_digest=store.digest,
        model_digest=model_digest(run, seed),
        config=run.config,
    )
