"""References of binary and regression tasks on pairs."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from counterpoint.data.schema import TaskKind
from counterpoint.evaluation.references.features import (
    Matrix,
    beside,
    neighbour_means,
    own_features,
)
from counterpoint.evaluation.references.interactions import (
    Scorer,
    block_scores,
    scorers,
    source_blocks,
    training_positives,
)
from counterpoint.evaluation.references.linear import linear_name, linear_predictions
from counterpoint.graph.store import GraphStore, TaskRows
from counterpoint.metrics import Parts

Floats = NDArray[np.float64]
SMOOTHING = 10.0  # rows that the overall mean is worth in an end's own mean
MOST_ROWS = 200_000  # training rows that a linear model sees, drawn evenly


def pair_references(store: GraphStore, task_name: str, split: str, seed: int) -> dict[str, Parts]:
    """Means of both ends, linear models on features; for binary tasks popularity, item-CF, SVD."""
    task, rows = store.meta.tasks[task_name], store.rows(task_name, split)
    if task.kind is TaskKind.BINARY:
        found = {
            **_interaction_scores(store, task_name, rows, seed),
            "rates of both ends": _rates_of_both_ends(store, task_name, rows),
        }
    else:
        found = _means(store, task_name, rows)
    found |= _linear_scores(store, task_name, rows, seed)
    row = np.arange(len(rows))
    return {
        name: Parts(task.kind.value, rows.entity[:, 0], row, rows.label, score.astype(np.float32))
        for name, score in found.items()
    }


def _interaction_scores(
    store: GraphStore, task_name: str, rows: TaskRows, seed: int
) -> dict[str, Floats]:
    """Probabilities by popularity, item-CF and SVD of the training positives."""
    positives = training_positives(store, task_name)
    valid = store.rows(task_name, "valid")
    sources = np.concatenate([rows.entity[:, 0], valid.entity[:, 0]])
    return {
        name: calibrated(
            _pair_scores(scorer, valid, positives.shape[1]),
            valid.label,
            _pair_scores(scorer, rows, positives.shape[1]),
        )
        for name, scorer in scorers(positives, sources, seed).items()
    }


def _pair_scores(scorer: Scorer, rows: TaskRows, n_dst: int) -> Floats:
    src, dst = rows.entity.T
    found = np.empty(len(rows))
    for places in source_blocks(src, n_dst):
        found[places] = block_scores(scorer, src[places])[np.arange(len(places)), dst[places]]
    return found


def calibrated(held_out: Floats, label: NDArray[np.float32], score: Floats) -> Floats:
    """Probabilities ``[n]`` in the order of ``score [n]``, by Platt's (1999) scaling.

    The two constants come from ``held_out`` scores with their labels: training rows are in the
    scores and would flatter them. Heavy tails are drawn in first. Where higher scores do not mean
    more positives the order is kept all the same, for a reference that fails must be seen to.
    """
    from sklearn.linear_model import LogisticRegression

    spread = float(held_out.std()) or 1.0
    known, wanted = (np.arcsinh(values / spread) for values in (held_out, score))
    slope, intercept = 0.0, 0.0
    if 0 < label.sum() < len(label):
        model = LogisticRegression(C=1e6).fit(known[:, None], label)
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return np.asarray(expit(wanted * slope + intercept if slope > 0 else wanted))


def smoothed_means(places: NDArray[np.int64], value: Floats, size: int, overall: float) -> Floats:
    """Mean of ``value`` at each place ``[size]``, drawn towards ``overall`` where rows are few."""
    total = np.bincount(places, value, minlength=size) + SMOOTHING * overall
    return np.asarray(total / (np.bincount(places, minlength=size) + SMOOTHING))


def _rates_of_both_ends(store: GraphStore, task_name: str, rows: TaskRows) -> Floats:
    """Log odds of both ends' smoothed positive rates, added as if they were independent."""
    train = store.rows(task_name, "train")
    rate = float(np.clip(train.label.mean(), 1e-6, 1 - 1e-6))
    odds = np.full(len(rows), logit(rate))
    for end, node_type in enumerate(store.meta.tasks[task_name].node_types):
        size = store.meta.count(node_type)
        rates = smoothed_means(train.entity[:, end], train.label.astype(np.float64), size, rate)
        odds += (logit(rates) - logit(rate))[rows.entity[:, end]]
    return np.asarray(expit(odds))


def _means(store: GraphStore, task_name: str, rows: TaskRows) -> dict[str, Floats]:
    """The training mean, and with each end's deviation from it (Koren 2009, eq. 1)."""
    train = store.rows(task_name, "train")
    mean = float(train.label.mean(dtype=np.float64))
    found, rest = np.full(len(rows), mean), train.label.astype(np.float64) - mean
    means = {"mean": found.copy()}
    for end in (1, 0):
        size = store.meta.count(store.meta.tasks[task_name].node_types[end])
        deviation = smoothed_means(train.entity[:, end], rest, size, 0.0)
        rest -= deviation[train.entity[:, end]]
        found += deviation[rows.entity[:, end]]
    return {**means, "means of both ends": found}


def _linear_scores(
    store: GraphStore, task_name: str, rows: TaskRows, seed: int
) -> dict[str, Floats]:
    """Linear models on the features of both ends; then with their neighbours' means.

    Neighbours are those of static relations: an edge derived from a task's training rows would
    tell a training row its own label.
    """
    task = store.meta.tasks[task_name]
    own = [own_features(store, node_type) for node_type in task.node_types]
    around = [neighbour_means(store, node_type, derived=False) for node_type in task.node_types]
    train, valid = store.rows(task_name, "train"), store.rows(task_name, "valid")
    drawn = np.arange(len(train))
    if len(train) > MOST_ROWS:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, MOST_ROWS, replace=False))
    found = {}
    for what, blocks, wanted in (
        ("own features", own, any(own)),
        (
            "own and neighbours' features",
            [[*a, *b] for a, b in zip(own, around, strict=True)],
            any(around),
        ),
    ):
        if not wanted:
            continue
        ends = [beside(of_end) if of_end else None for of_end in blocks]
        designs = [_pair_design(ends, e) for e in (train.entity[drawn], valid.entity, rows.entity)]
        found[linear_name(task, what)] = linear_predictions(
            task, (designs[0], train.label[drawn]), (designs[1], valid.label), designs[2]
        )
    return found


def _pair_design(ends: list[Matrix | None], entity: NDArray[np.int64]) -> Matrix:
    return beside([end[entity[:, i]] for i, end in enumerate(ends) if end is not None])
