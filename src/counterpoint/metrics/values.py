"""The metrics: what each is worth on one scored split, which way is up, what chance and margin are.

Undefined values do not exist here: a metric on no rows, on one class, or on users none of whom has
both classes raises a :class:`UserError` that says what was found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterpoint.errors import UserError
from counterpoint.metrics.additive import contributions, predicted_labels, rank_gain, user_auc
from counterpoint.metrics.parts import Kind, Parts


@dataclass(frozen=True)
class MarginRule:
    """Default margin (METHODS E.6): ``amount`` of ``unit``."""

    amount: float
    unit: Literal["metric", "twin", "label_entropy"]


@dataclass(frozen=True)
class Metric:
    """What is known of one metric before any data is seen.

    ``orientation`` is +1 where higher is better and -1 where lower is. ``best`` is its value for a
    perfect model. ``resampled`` says whether the bootstrap, and so the gate, can take it.
    """

    name: str
    kinds: frozenset[Kind]
    orientation: Literal[1, -1]
    best: float
    margin: MarginRule | None
    resampled: bool = True


_BINARY: frozenset[Kind] = frozenset({"binary"})
_PAIRS: frozenset[Kind] = frozenset({"binary", "link"})
_CLASSES: frozenset[Kind] = frozenset({"binary", "multiclass"})
_F1: frozenset[Kind] = frozenset({"multiclass", "multilabel"})
_RANKED: frozenset[Kind] = frozenset({"link", "multilabel"})
_LINK: frozenset[Kind] = frozenset({"link"})
_HIT_RATE = Metric("hr@k", _LINK, 1, 1.0, MarginRule(0.05, "twin"))

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("auc", _BINARY, 1, 1.0, MarginRule(0.002, "metric")),
        Metric("gauc", _PAIRS, 1, 1.0, MarginRule(0.002, "metric")),
        Metric("ap", _BINARY, 1, 1.0, MarginRule(0.05, "twin")),
        Metric("logloss", _CLASSES, -1, 0.0, MarginRule(0.01, "label_entropy")),
        Metric("calibration_error", _CLASSES, -1, 0.0, None, resampled=False),
        Metric("accuracy", _CLASSES, 1, 1.0, MarginRule(0.01, "metric")),
        Metric("micro_f1", _F1, 1, 1.0, MarginRule(0.01, "metric")),
        Metric("macro_f1", _F1, 1, 1.0, MarginRule(0.01, "metric")),
        Metric("rmse", frozenset({"regression"}), -1, 0.0, MarginRule(0.01, "twin")),
        Metric("mrr", _RANKED, 1, 1.0, MarginRule(0.05, "twin")),
        Metric("ndcg", _RANKED, 1, 1.0, MarginRule(0.05, "twin")),
        Metric("ndcg_paper", _RANKED, 1, 1.0, MarginRule(0.05, "twin")),
    )
}


def metric_named(name: str) -> Metric:
    """The metric called ``name``; ``hr@10`` is the hit rate among the first ten."""
    k = name.removeprefix("hr@")
    if k != name and k.isdecimal() and int(k) > 0:
        return replace(_HIT_RATE, name=name)
    if name not in METRICS:
        raise UserError(f"metric: {name!r} is none of {', '.join([*METRICS, _HIT_RATE.name])}")
    return METRICS[name]


def value(metric: str, parts: Parts) -> float:
    """Value of ``metric`` on ``parts``, in the metric's own orientation.

    ``gauc`` weighs users by impressions and counts those with both classes alone (Zhu et al.
    2017; see :func:`share_kept`); of a link task it is the share of its other candidates that a
    held-out positive is ranked above, in the mean. ``ap`` is the step-wise average precision.
    ``macro_f1`` is the mean over the classes that occur among labels or predictions; multilabel
    predictions are ``score >= 0.5``. ``logloss`` clips probabilities at float32's epsilon.
    ``ndcg`` divides by ``log2(k + 1)``, ``ndcg_paper`` as the GPT-GNN and AUX-TS code does
    (METHODS B.8).

    Raises:
        UserError: the metric is unknown, does not fit the kind, or is undefined on these rows.
    """
    check_kind(metric, parts)
    if not len(parts):
        raise UserError(f"{metric}: no rows; score at least one")
    if metric in _NOT_ADDITIVE:
        return float(_NOT_ADDITIVE[metric](parts))
    numerator, denominator = contributions(metric, parts)
    total = denominator.sum()
    if not total:
        raise UserError(f"{metric}: {_EMPTY_SUM[metric]} in {len(parts)} rows")
    ratio = float(numerator.sum() / total)
    return float(np.sqrt(ratio)) if metric == "rmse" else ratio


def check_kind(metric: str, parts: Parts) -> None:
    """Check that ``metric`` exists and judges this kind of task."""
    kinds = metric_named(metric).kinds
    if parts.kind not in kinds:
        raise UserError(
            f"{metric}: judges {' and '.join(sorted(kinds))} tasks, this one is {parts.kind}"
        )


def share_kept(parts: Parts) -> float:
    """Share of the rows whose user has both classes: what ``gauc`` is computed on."""
    return float(np.mean(user_auc(parts)[1])) if len(parts) else 0.0


def chance(metric: str, parts: Parts) -> float:
    """Value of ``metric`` for a model that knows the label frequencies of ``parts`` and no row.

    Every row is given the same score: AUC .5, average precision the base rate, log loss the label
    entropy, accuracy the majority's share, RMSE the labels' standard deviation. A link task has
    no frequencies: its candidates are in random order.
    """
    check_kind(metric, parts)
    if parts.kind != "link":
        return value(metric, replace(parts, score=_label_frequencies(parts)))
    if not len(parts):
        raise UserError(f"{metric}: no rows; score at least one")
    if metric == "gauc":
        return 0.5
    gains = np.cumsum(rank_gain(metric)(np.arange(1, parts.n_candidates.max() + 1)))
    return float(np.mean(gains[parts.n_candidates - 1] / parts.n_candidates))


def chance_corrected(metric: str, parts: Parts) -> float:
    """``(M - chance) / (best - chance)``: 0 for chance, 1 for a perfect model, higher is better.

    The mean of it over the target tasks is what selection during training maximises.
    """
    level, best = chance(metric, parts), metric_named(metric).best
    if level == best:
        raise UserError(f"{metric}: chance is already perfect on these {len(parts)} rows")
    return (value(metric, parts) - level) / (best - level)


def default_margin(metric: str, twin_validation: Sequence[Parts]) -> float:
    """Default margin of METHODS E.6, from the twin's scored validation split, one a seed."""
    rule = metric_named(metric).margin
    if rule is None:
        raise UserError(f"{metric}: has no default margin; declare one")
    if rule.unit == "metric":
        return rule.amount
    if not twin_validation:
        raise UserError(f"{metric}: its default margin needs the twin's validation parts")
    if rule.unit == "label_entropy":
        return rule.amount * chance("logloss", twin_validation[0])
    return rule.amount * float(np.mean([value(metric, parts) for parts in twin_validation]))


def _label_frequencies(parts: Parts) -> NDArray[np.float64]:
    """The same score for every row: class shares, label rates or the mean label."""
    label = parts.label
    if parts.kind == "multiclass":
        label = np.eye(parts.score.shape[1])[label]
    return np.broadcast_to(label.mean(axis=0, dtype=np.float64), parts.score.shape)


def _auc(parts: Parts) -> float:
    from sklearn.metrics import roc_auc_score

    positives = _positives("auc", parts)
    if positives == len(parts):
        raise UserError(f"auc: one class only ({positives} of {len(parts)} rows are positive)")
    return float(roc_auc_score(parts.label, parts.score))


def _average_precision(parts: Parts) -> float:
    from sklearn.metrics import average_precision_score

    _positives("ap", parts)
    return float(average_precision_score(parts.label, parts.score))


def _positives(metric: str, parts: Parts) -> int:
    positives = int(parts.label.sum(dtype=np.int64))
    if not positives:
        raise UserError(f"{metric}: none of the {len(parts)} rows is positive")
    return positives


def _macro_f1(parts: Parts) -> float:
    from sklearn.metrics import f1_score

    predicted = predicted_labels(parts)
    if parts.kind == "multilabel" and not (predicted.any() or parts.label.any()):
        raise UserError(f"macro_f1: no label, true or predicted, in {len(parts)} rows")
    return float(f1_score(parts.label, predicted, average="macro", zero_division=np.nan))


def _calibration_error(parts: Parts) -> float:
    """Expected calibration error, 15 equal bins (Guo et al. 2017)."""
    import torch
    from torchmetrics.functional.classification import (
        binary_calibration_error,
        multiclass_calibration_error,
    )

    score, label = torch.tensor(parts.score), torch.tensor(parts.label)
    if parts.kind == "multiclass":
        return float(multiclass_calibration_error(score, label, num_classes=score.shape[1]))
    return float(binary_calibration_error(score, label))


_NOT_ADDITIVE: dict[str, Callable[[Parts], float]] = {
    "auc": _auc,
    "ap": _average_precision,
    "macro_f1": _macro_f1,
    "calibration_error": _calibration_error,
}
_EMPTY_SUM = {
    "gauc": "no user with both classes, or no other candidate,",
    "micro_f1": "no label, true or predicted,",
    "mrr": "no row with a true label",
    "ndcg": "no row with a true label",
    "ndcg_paper": "no row with a true label",
}
