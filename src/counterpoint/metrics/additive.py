"""Metrics that are a ratio of two sums over rows, which is what makes them cheap to resample."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoint.metrics.parts import Parts

Contributions = tuple[NDArray[Any], NDArray[Any]]
Gain = Callable[[NDArray[Any]], NDArray[np.float64]]


def contributions(metric: str, parts: Parts) -> Contributions:
    """Numerator ``[n]`` and denominator ``[n]`` of each row.

    The metric is the sum of the numerators over the sum of the denominators (``rmse``: its root).
    A row on which the metric is not defined has denominator 0.
    """
    if metric in RANK_GAINS or metric.startswith("hr@"):
        return _ranking(metric, parts)
    return ADDITIVE[metric](parts)


def ndcg_discount(rank: NDArray[Any]) -> NDArray[np.float64]:
    """Discount ``1 / log2(k + 1)`` of rank ``k`` (Järvelin and Kekäläinen 2002)."""
    return 1 / np.log2(np.asarray(rank, np.float64) + 1)


def paper_discount(rank: NDArray[Any]) -> NDArray[np.float64]:
    """Discount of the GPT-GNN and AUX-TS code: 1 at rank 1, ``1 / log2(k)`` from rank 2 on."""
    return 1 / np.log2(np.maximum(np.asarray(rank, np.float64), 2))


def reciprocal(rank: NDArray[Any]) -> NDArray[np.float64]:
    """Gain ``1 / k`` of rank ``k``."""
    return 1 / np.asarray(rank, np.float64)


def rank_gain(metric: str) -> Gain:
    """What a rank is worth under ``mrr``, ``ndcg``, ``ndcg_paper`` or ``hr@k``."""
    if metric.startswith("hr@"):
        k = int(metric.removeprefix("hr@"))
        return lambda rank: (np.asarray(rank) <= k).astype(np.float64)
    return RANK_GAINS[metric]


def user_auc(parts: Parts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """AUC of each row's user ``[n]``, and whether that user has both classes ``[n]``.

    Ties count one half (mean ranks); the AUC of a user with one class is 0.
    """
    order = np.lexsort((parts.score, parts.cluster))
    user, score, label = parts.cluster[order], parts.score[order], parts.label[order]
    new_user = np.diff(user, prepend=user[:1] - 1) != 0
    new_tie = new_user | (np.diff(score, prepend=score[:1]) != 0)
    position = np.arange(1, len(user) + 1)
    tie = np.cumsum(new_tie) - 1
    mean_position = np.bincount(tie, weights=position) / np.bincount(tie)
    user_index = np.cumsum(new_user) - 1
    rank = mean_position[tie] - (position[new_user] - 1)[user_index]
    positives = np.bincount(user_index, weights=label)
    negatives = np.bincount(user_index) - positives
    above = np.bincount(user_index, weights=rank * label) - positives * (positives + 1) / 2
    kept = (positives > 0) & (negatives > 0)
    auc = np.divide(above, positives * negatives, out=np.zeros(len(kept)), where=kept)
    back = np.empty_like(order)
    back[order] = user_index
    return auc[back], kept[back]


def predicted_labels(parts: Parts) -> NDArray[Any]:
    """Class of largest probability ``[n]`` (multiclass), or ``score >= 0.5`` elementwise."""
    if parts.kind == "multiclass":
        return np.asarray(np.argmax(parts.score, axis=1))
    return (parts.score >= 0.5).astype(np.uint8)


def _gauc(parts: Parts) -> Contributions:
    if parts.kind == "link":  # one positive among its candidates, a row
        others = parts.n_candidates - 1
        below = (parts.n_candidates - parts.rank).astype(np.float64)
        return np.divide(below, others, out=np.zeros(len(parts)), where=others > 0), others > 0
    auc, kept = user_auc(parts)
    return auc, kept.astype(np.float64)


def _logloss(parts: Parts) -> Contributions:
    smallest = np.finfo(np.float32).eps
    if parts.kind == "multiclass":
        of_label = parts.score[np.arange(len(parts)), parts.label].astype(np.float64)
    else:
        of_label = np.where(parts.label == 1, parts.score, 1 - parts.score.astype(np.float64))
    loss = np.negative(np.log(np.clip(of_label, smallest, 1 - smallest)))
    return loss, np.ones(len(parts))


def _accuracy(parts: Parts) -> Contributions:
    return (predicted_labels(parts) == parts.label).astype(np.float64), np.ones(len(parts))


def _micro_f1(parts: Parts) -> Contributions:
    if parts.kind == "multiclass":
        return _accuracy(parts)
    predicted, label = predicted_labels(parts), parts.label
    hits, of_label, of_guess = (
        mask.sum(axis=1, dtype=np.float64) for mask in (predicted & label, label, predicted)
    )
    return 2 * hits, of_label + of_guess


def _squared_error(parts: Parts) -> Contributions:
    return (parts.score - parts.label) ** 2, np.ones(len(parts))


def _ranking(metric: str, parts: Parts) -> Contributions:
    """A link row's gain is that of its rank; a multilabel row ranks its classes.

    Multilabel: a row without a true class does not count.
    """
    gain = rank_gain(metric)
    if parts.kind == "link":
        return gain(parts.rank), np.ones(len(parts))
    of_row = _first_true_rank if metric == "mrr" else _gain_over_ideal
    return of_row(parts, gain), np.any(parts.label, axis=1)


def _first_true_rank(parts: Parts, gain: Gain) -> NDArray[np.float64]:
    """Gain of the best true class's rank ``[n]``; false classes level with it count one half."""
    true = parts.label == 1
    best = np.max(np.where(true, parts.score, -np.inf), axis=1, keepdims=True, initial=-np.inf)
    above = np.sum(~true & (parts.score > best), axis=1)
    level = np.sum(~true & (parts.score == best), axis=1)
    return np.where(true.any(axis=1), gain(1 + above + level / 2), 0.0)


def _gain_over_ideal(parts: Parts, gain: Gain) -> NDArray[Any]:
    """One unit of gain, spread over the true classes, over the best order's ``[n]``.

    Classes level with each other share the mean of their ranks' discounts.
    """
    from scipy.stats import rankdata

    up_to = np.cumsum(gain(np.arange(1, parts.label.shape[1] + 1)))
    first, last = (rankdata(-parts.score, method, axis=1).astype(int) for method in ("min", "max"))
    discount = (up_to[last - 1] - up_to[first - 1] + gain(first)) / (last - first + 1)
    n_true = parts.label.sum(axis=1, dtype=np.int64)
    ideal = up_to[np.maximum(n_true, 1) - 1]
    return np.asarray((discount * parts.label).sum(axis=1) / ideal)


RANK_GAINS = {"mrr": reciprocal, "ndcg": ndcg_discount, "ndcg_paper": paper_discount}
ADDITIVE: dict[str, Callable[[Parts], Contributions]] = {
    "gauc": _gauc,
    "logloss": _logloss,
    "accuracy": _accuracy,
    "micro_f1": _micro_f1,
    "rmse": _squared_error,
}
