"""Penalised linear models: logistic regression, or ridge regression for numbers."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoint.data.schema import Task, TaskKind
from counterpoint.evaluation.references.features import Matrix

Labelled = tuple[Matrix, NDArray[Any]]
Floats = NDArray[np.float64]
Predict = Callable[[Matrix], Floats]

INVERSE_PENALTIES = (0.1, 1.0, 10.0)


def linear_name(task: Task, what: str) -> str:
    """Name of the reference that sees ``what``."""
    model = "ridge" if task.kind is TaskKind.REGRESSION else "logistic"
    return f"{model} regression, {what}"


def linear_predictions(task: Task, train: Labelled, valid: Labelled, wanted: Matrix) -> Floats:
    """Predictions for ``wanted`` by the model whose penalty does best on ``valid``.

    Returns:
        What :class:`~counterpoint.metrics.Parts` wants as score: ``[n]`` or ``[n, C]``.
    """
    from sklearn.exceptions import ConvergenceWarning

    models = []
    with warnings.catch_warnings():
        # a model that stopped at its last iteration is a reference all the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        for inverse_penalty in INVERSE_PENALTIES:
            predict = _fitted(task, inverse_penalty, *train)
            models.append((mean_loss(task, valid[1], predict(valid[0])), predict))
    return min(models, key=lambda model: model[0])[1](wanted)


def mean_loss(task: Task, label: NDArray[Any], score: Floats) -> float:
    """Mean squared error, or mean log loss over rows (multilabel: and classes)."""
    if task.kind is TaskKind.REGRESSION:
        return float(np.mean((score - label) ** 2))
    if task.kind is TaskKind.MULTICLASS:
        of_label = score[np.arange(len(label)), label]
    else:
        of_label = np.where(label == 1, score, 1 - score)
    return float(-np.mean(np.log(np.maximum(of_label, 1e-12))))


def _fitted(task: Task, inverse_penalty: float, design: Matrix, label: NDArray[Any]) -> Predict:
    if task.kind is TaskKind.REGRESSION:
        from sklearn.linear_model import Ridge

        ridge = Ridge(alpha=1 / inverse_penalty, solver="lsqr").fit(design, label)
        return lambda wanted: np.asarray(ridge.predict(wanted), dtype=np.float64)
    if task.kind is TaskKind.MULTICLASS:
        return _class_probabilities(design, label, int(task.classes or 0), inverse_penalty)
    if task.kind is TaskKind.BINARY:
        both = _class_probabilities(design, label, 2, inverse_penalty)
        return lambda wanted: both(wanted)[:, 1]
    each = [_class_probabilities(design, column, 2, inverse_penalty) for column in label.T]
    return lambda wanted: np.stack([both(wanted)[:, 1] for both in each], axis=1)


def _class_probabilities(
    design: Matrix, label: NDArray[Any], n_classes: int, inverse_penalty: float
) -> Predict:
    """Logistic regression; a class without a training row has probability zero."""
    from sklearn.linear_model import LogisticRegression

    present, label = np.unique(label.astype(np.int64), return_inverse=True)
    if len(present) == 1:
        return lambda wanted: np.eye(n_classes)[np.full(wanted.shape[0], present[0])]
    model = LogisticRegression(C=inverse_penalty, max_iter=200, tol=1e-3).fit(design, label)

    def probabilities(wanted: Matrix) -> Floats:
        found = np.zeros((wanted.shape[0], n_classes))
        found[:, present] = model.predict_proba(wanted)
        return found

    return probabilities
