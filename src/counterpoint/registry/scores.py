"""Probabilities from a bundle: numpy on a frame of entities.

A node that the model does not know is refused, or stands as the average known node of its type.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from counterpoint.data.schema import TaskKind
from counterpoint.errors import UserError, raise_faults
from counterpoint.registry.bundle import Bundle

if TYPE_CHECKING:
    import pandas as pd

Unknown = Literal["refuse", "average"]
SIDES = ("src", "dst")
TOLERANCE = 1e-5  # float32 sums in another order than training's


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


def task_scores(
    bundle: Bundle, task: str, frame: "pd.DataFrame", unknown: Unknown = "refuse"
) -> np.ndarray:
    """Scores [n] of one task's entities; [n, C] where it has classes."""
    found, tensors = bundle.contents.tasks[task], bundle.tensors
    rows = entity_rows(bundle, task, frame)
    if unknown == "refuse":
        _refuse_unknown(bundle, task, frame, rows)
    if found.head == "linear":
        logits = taken(tensors[f"{task}.logits"], rows[0])
    else:
        ends = list(zip(SIDES, rows, strict=True))
        vectors = [taken(tensors[f"{task}.{side}"], at) for side, at in ends]
        biases = [taken(tensors[f"{task}.{side}_bias"], at) for side, at in ends]
        products = np.einsum("nk,nk->n", *vectors)
        logits = (products + biases[0] + biases[1] + tensors[f"{task}.bias"])[:, None]
    scores = _activation(found.kind, logits.astype(np.float64))
    if found.condition is not None:
        scores = scores * task_scores(bundle, found.condition, frame, unknown)
    return scores


def entity_rows(bundle: Bundle, task: str, frame: "pd.DataFrame") -> list[np.ndarray]:
    """The bundle's row [n] of each end of the entities; −1 where the model does not know it."""
    entity = bundle.contents.tasks[task].entity
    return [
        bundle.ids[node_type].rows(
            _column(frame, column, f"task {task!r} needs the id of a {node_type}")
        )
        for node_type, column in zip(entity, id_columns(entity), strict=True)
    ]


def taken(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``array[rows]`` [n, ...] with the mean of the array where a row is −1."""
    found: np.ndarray = array[rows]
    if (rows < 0).any():
        found[rows < 0] = array.mean(axis=0)
    return found


def example_frame(bundle: Bundle, task: str) -> "pd.DataFrame":
    """The examples of one task. (In a frame of several, pandas makes floats of integer ids.)"""
    import pandas as pd

    rows = [row for row in bundle.examples if row["task"] == task]
    return pd.DataFrame(rows).drop(columns="score")


def example_scores(bundle: Bundle, task: str) -> np.ndarray:
    """What training scored the examples of one task, [n] or [n, C]."""
    return np.array([row["score"] for row in bundle.examples if row["task"] == task])


def example_faults(bundle: Bundle) -> list[str]:
    """A line for each task whose examples are not scored as training scored them."""
    faults = []
    for task in bundle.contents.tasks:
        found = task_scores(bundle, task, example_frame(bundle, task))
        stated = example_scores(bundle, task)
        if not np.allclose(found, stated, rtol=TOLERANCE, atol=TOLERANCE):
            worst = float(np.abs(found - stated).max())
            faults.append(f"task {task!r}: scores of its examples are {worst:.3g} off training's")
    return faults


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


def id_columns(entity: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that name an entity."""
    return SIDES if len(entity) == 2 else ("id",)


def _refuse_unknown(
    bundle: Bundle, task: str, frame: "pd.DataFrame", rows: list[np.ndarray]
) -> None:
    entity = bundle.contents.tasks[task].entity
    for node_type, column, found in zip(entity, id_columns(entity), rows, strict=True):
        lost = np.flatnonzero(found < 0)
        if len(lost):
            first = np.asarray(frame[column], dtype=object)[lost[0]]
            raise UserError(
                f"column {column}: {len(lost)} of {len(found)} ids of task {task!r} are no "
                f"{node_type} that the model knows, first {first!r}; leave these rows out"
            )


def _column(frame: "pd.DataFrame", name: str, need: str) -> np.ndarray:
    if name not in frame:
        raise UserError(f"column {name}: missing; {need}")
    return np.asarray(frame[name], dtype=object)
