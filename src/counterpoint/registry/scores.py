"""Probabilities from a bundle: numpy on a frame of entities."""

from typing import TYPE_CHECKING

import numpy as np

from counterpoint.data.schema import TaskKind
from counterpoint.errors import UserError, raise_faults
from counterpoint.registry.bundle import Bundle

if TYPE_CHECKING:
    import pandas as pd


def score(bundle: Bundle, frame: "pd.DataFrame") -> "pd.DataFrame":
    """Score entities of one task or of several mixed.

    Args:
        bundle: the model.
        frame: columns ``task``, and ``id`` for tasks on nodes, ``src`` and ``dst`` for tasks on
            pairs.

    Returns:
        A frame with the same index: ``probability`` (a number; a list of C where a task has
        classes), and ``value`` where rows are of a regression task.

    Raises:
        UserError: a column is missing, or a task or an id is unknown to the model.
    """
    import pandas as pd

    tasks = bundle.contents.tasks
    asked = _column(frame, "task", "name the task of each row")
    wanted = pd.unique(asked)
    raise_faults(
        [
            f"column task: {task!r} in {np.sum(asked == task)} rows is no task of this model, "
            f"which has {', '.join(tasks)}"
            for task in wanted
            if task not in tasks
        ]
    )
    columns: dict[str, np.ndarray] = {}
    for task in wanted:
        rows = np.flatnonzero(asked == task)
        scores = task_scores(bundle, task, frame.iloc[rows])
        nothing = np.full(len(frame), np.nan, dtype=object)
        column = columns.setdefault(score_column(tasks[task].kind), nothing)
        if scores.ndim == 1:
            column[rows] = scores
        else:
            for row, probabilities in zip(rows, scores.tolist(), strict=True):
                column[row] = probabilities
    return pd.DataFrame(columns or {"probability": asked}, index=frame.index).infer_objects()


def task_scores(bundle: Bundle, task: str, frame: "pd.DataFrame") -> np.ndarray:
    """Scores [n] of one task's entities; [n, C] where it has classes."""
    found, tensors = bundle.contents.tasks[task], bundle.tensors
    if found.head == "linear":
        rows = _rows(bundle, task, found.entity[0], frame, "id")
        logits = tensors[f"{task}.logits"][rows]
    else:
        src = _rows(bundle, task, found.entity[0], frame, "src")
        dst = _rows(bundle, task, found.entity[1], frame, "dst")
        products = np.einsum("nk,nk->n", tensors[f"{task}.src"][src], tensors[f"{task}.dst"][dst])
        biases = tensors[f"{task}.src_bias"][src] + tensors[f"{task}.dst_bias"][dst]
        logits = (products + biases + tensors[f"{task}.bias"])[:, None]
    scores = _activation(found.kind, logits.astype(np.float64))
    if found.condition is not None:
        scores = scores * task_scores(bundle, found.condition, frame)
    return scores


def score_column(kind: TaskKind) -> str:
    """The column of :func:`score` that holds scores of this kind."""
    return "value" if kind is TaskKind.REGRESSION else "probability"


def _activation(kind: TaskKind, logits: np.ndarray) -> np.ndarray:
    """Scores of logits [n, C]: [n, C] where the kind has classes, else [n]."""
    if kind is TaskKind.MULTICLASS:
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
    if kind is TaskKind.REGRESSION:
        return logits[:, 0]
    sigmoid = 0.5 * (1 + np.tanh(0.5 * logits))  # of this form because exp overflows
    return sigmoid if kind is TaskKind.MULTILABEL else sigmoid[:, 0]


def _rows(
    bundle: Bundle, task: str, node_type: str, frame: "pd.DataFrame", column: str
) -> np.ndarray:
    asked = _column(frame, column, f"task {task!r} needs the id of a {node_type}")
    rows = bundle.ids[node_type].rows(asked)
    lost = np.flatnonzero(rows < 0)
    if len(lost):
        raise UserError(
            f"column {column}: {len(lost)} of {len(asked)} ids of task {task!r} are no {node_type} "
            f"that the model knows, first {asked[lost[0]]!r}; leave these rows out"
        )
    return rows


def _column(frame: "pd.DataFrame", name: str, need: str) -> np.ndarray:
    if name not in frame:
        raise UserError(f"column {name}: missing; {need}")
    return np.asarray(frame[name], dtype=object)
