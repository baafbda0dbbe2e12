"""A metric on parts of the test set: users with few and many training rows, head and tail items."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from counterpoint.errors import UserError
from counterpoint.graph.store import GraphStore
from counterpoint.metrics import Parts, value

COLD = 5  # training rows of the task that a cold node has at most
HEAD = 0.2  # share of the destinations that is the head: those with the most training rows

SliceName = Literal["cold", "warm", "head", "tail"]


class Slice(BaseModel):
    """One metric on some rows; ``value`` None: undefined on them, such as AUC of one class."""

    model_config = ConfigDict(frozen=True)

    name: SliceName
    node_type: str
    metric: str
    n_rows: int
    n_clusters: int
    value: float | None


def slices(store: GraphStore, task_name: str, parts: Parts) -> list[Slice]:
    """The primary metric of a task on cold and warm sources, and on head and tail destinations.

    Cold sources have at most five training rows of the task, head destinations are the fifth with
    the most. A task on nodes has no such rows: its nodes are never in training and on test both.
    """
    task = store.meta.tasks[task_name]
    if not task.is_pair:
        return []
    train = store.rows(task_name, "train").entity
    scored = store.rows(task_name, "test").entity[parts.row]
    src, dst = (
        np.bincount(train[:, side], minlength=store.meta.count(node_type))
        for side, node_type in enumerate(task.node_types)
    )
    cold, head = src[scored[:, 0]] <= COLD, _is_head(dst)[scored[:, 1]]
    named: list[tuple[SliceName, str, NDArray[np.bool_]]] = [
        ("cold", task.node_types[0], cold),
        ("warm", task.node_types[0], ~cold),
        ("head", task.node_types[1], head),
        ("tail", task.node_types[1], ~head),
    ]
    return [_slice(name, node, task.metric, parts, rows) for name, node, rows in named]


def _is_head(count: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The fifth of the nodes with the most rows; of equal ones the first."""
    order = np.argsort(-count, kind="stable")
    head = np.zeros(len(count), dtype=bool)
    head[order[: max(round(HEAD * len(count)), 1)]] = True
    return head


def _slice(
    name: SliceName, node_type: str, metric: str, parts: Parts, rows: NDArray[np.bool_]
) -> Slice:
    chosen = Parts(
        parts.kind, parts.cluster[rows], parts.row[rows], parts.label[rows], parts.score[rows]
    )
    try:
        found = value(metric, chosen) if rows.any() else None
    except UserError:
        found = None
    return Slice(
        name=name,
        node_type=node_type,
        metric=metric,
        n_rows=len(chosen),
        n_clusters=len(np.unique(chosen.cluster)),
        value=found,
    )
