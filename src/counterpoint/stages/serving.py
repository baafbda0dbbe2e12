"""A trained model to the bundle that is served: final representations, heads, ids."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoint.errors import UserError
from counterpoint.files import sha256_of_file
from counterpoint.graph.features import stored_encoders
from counterpoint.graph.store import GraphMeta, GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Model, Representations, TaskBatch, probabilities
from counterpoint.registry.bundle import DotHead, Inductive, LinearHead, write_bundle
from counterpoint.registry.identity import entity_hashes
from counterpoint.training.batches import flat_entities
from counterpoint.training.cell import JOINT, Run
from counterpoint.training.scoring import full_representations, pair_factors_of

EXAMPLES = 5  # a task: enough to notice a bundle that does not score what training scored


@torch.no_grad()
def head_of(
    graph: TrainingGraph, model: Model, representations: Representations, name: str
) -> DotHead | LinearHead:
    """The head of a task on all nodes of a graph, of which the model made ``representations``."""
    h, task = representations[name], model.tasks[name]
    if not task.is_pair:
        (node_type,) = task.node_types
        first, count = graph.meta.offsets[node_type], graph.meta.count(node_type)
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


def transductive(meta: GraphMeta) -> str | None:
    """Why nodes that are not in the graph cannot be encoded; None if they can."""
    bare = [node_type.name for node_type in meta.node_types if not node_type.has_features]
    if bare:
        return (
            f"node type {', '.join(bare)} has no features, and each of its nodes a learned vector "
            "instead; give it features and train again"
        )
    similar = [relation.name for relation in meta.relations if relation.similarity]
    if similar:
        return (
            f"relation {', '.join(similar)} is a similarity, which is made with the training graph "
            "alone; train without it"
        )
    return None


def _inductive(store: GraphStore, model: Model) -> Inductive | str:
    """What encoding further nodes needs, or why they cannot be encoded."""
    if (reason := transductive(store.meta)) is not None:
        return reason
    encoders = stored_encoders(store)
    return Inductive(
        weights={name: tensor.numpy() for name, tensor in model.state_dict().items()},
        graph=store.meta.model_dump(mode="json"),
        encoders={name: encoder.model_dump(mode="json") for name, encoder in encoders.items()},
    )


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
        {name: head_of(graph, model, representations, name) for name in tasks},
        ids,
        examples,
        trained_on={name: trained_rows(store, name, ids) for name in tasks},
        inductive=_inductive(store, model),
        graph_digest=store.digest,
        model_digest=model_digest(run, seed),
        config=run.config,
    )
