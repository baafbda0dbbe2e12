"""What monitoring compares later data with: it is stored beside a version's card."""

from pathlib import Path

import numpy as np

from counterpoint.data.distributions import FEATURES, distribution
from counterpoint.data.schema import TaskKind
from counterpoint.evaluation.drift import Reference
from counterpoint.files import read_json, write_json
from counterpoint.graph.store import GraphStore
from counterpoint.registry.bundle import Bundle
from counterpoint.registry.scores import task_scores
from counterpoint.stages.champion import entity_frame

REFERENCE = "reference.json"


def write_reference(folder: Path, store: GraphStore, bundle: Bundle, evaluation: Path) -> None:
    """Write the reference of a bundle that was made from ``store``."""
    reference = Reference(
        features=read_json(evaluation / FEATURES),
        facts=graph_facts(store),
        predictions={
            name: distribution(predictions(bundle, store, name)) for name in store.meta.tasks
        },
    )
    write_json(folder / REFERENCE, reference.model_dump(mode="json"))


def graph_facts(store: GraphStore) -> dict[str, float]:
    """Counts of nodes, edges a node, shares of nodes without an edge, rates of training labels."""
    meta, indptr = store.meta, store.edges["indptr"]
    facts: dict[str, float] = {}
    for node_type in meta.node_types:
        start = meta.offsets[node_type.name]
        degree = np.diff(indptr[start : start + node_type.count + 1])
        facts[f"{node_type.name}: nodes"] = float(node_type.count)
        facts[f"{node_type.name}: share without an edge"] = float((degree == 0).mean())
    for relation in meta.relations:
        if not relation.reverse:
            name = f"{relation.name}: edges a {relation.src}"
            facts[name] = relation.edges / meta.count(relation.src)
    for name, task in meta.tasks.items():
        if task.kind is TaskKind.BINARY:
            facts[f"{name}: rate of training labels"] = float(
                store.rows(name, "train").label.mean()
            )
    return facts


def predictions(bundle: Bundle, store: GraphStore, name: str) -> np.ndarray:
    """What the bundle predicts on the test rows ``[n]``: the class, as a string, where there are
    classes; the mean over labels where a row has several."""
    task = store.meta.tasks[name]
    frame = entity_frame(store, task, store.rows(name, "test").entity)
    scores = task_scores(bundle, name, frame, "average")
    if task.kind is TaskKind.MULTICLASS:
        return np.asarray(scores.argmax(axis=1), dtype=str)
    return np.asarray(scores.mean(axis=1)) if scores.ndim == 2 else scores
