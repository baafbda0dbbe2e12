"""References of tasks on nodes."""

import numpy as np

from counterpoint.data.schema import TaskKind
from counterpoint.evaluation.references.features import (
    beside,
    neighbour_labels,
    neighbour_means,
    own_features,
)
from counterpoint.evaluation.references.linear import linear_name, linear_predictions
from counterpoint.graph.store import GraphStore
from counterpoint.metrics import Parts

CONSTANT = {
    TaskKind.BINARY: "base rate",
    TaskKind.MULTICLASS: "majority class",
    TaskKind.MULTILABEL: "base rates",
    TaskKind.REGRESSION: "mean",
}


def node_references(store: GraphStore, task_name: str, split: str) -> dict[str, Parts]:
    """A constant, and linear models on ever more of what is around a node."""
    task = store.meta.tasks[task_name]
    (node_type,) = task.node_types
    train, valid, rows = (store.rows(task_name, name) for name in ("train", "valid", split))
    own = own_features(store, node_type)
    around = neighbour_means(store, node_type, derived=True)
    labels = neighbour_labels(store, task_name)
    frequency = _training_frequency(train.label, task.classes, task.kind)
    found = {CONSTANT[task.kind]: np.broadcast_to(frequency, (len(rows), *frequency.shape))}
    for what, blocks, wanted in (
        ("own features", own, bool(own)),
        ("own and neighbours' features", own + around, bool(around)),
        ("neighbours' training labels", labels, bool(labels)),
        ("features and neighbours' labels", own + around + labels, bool(labels)),
    ):
        if wanted:
            design = beside(blocks)
            found[linear_name(task, what)] = linear_predictions(
                task,
                (design[train.entity], train.label),
                (design[valid.entity], valid.label),
                design[rows.entity],
            )
    row = np.arange(len(rows))
    return {
        name: Parts(task.kind.value, rows.entity, row, rows.label, score)
        for name, score in found.items()
    }


def _training_frequency(label: np.ndarray, classes: int | None, kind: TaskKind) -> np.ndarray:
    """Class shares ``[C]``, or the mean label as a number."""
    if kind is TaskKind.MULTICLASS:
        return np.bincount(label, minlength=int(classes or 0)) / len(label)
    return np.asarray(label.mean(axis=0, dtype=np.float64))
