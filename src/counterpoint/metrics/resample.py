"""The cluster bootstrap by counting: a resample is how often each cluster was drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoint.errors import UserError
from counterpoint.metrics.additive import contributions, predicted_labels
from counterpoint.metrics.drawing import Drawing
from counterpoint.metrics.parts import Parts, check_paired
from counterpoint.metrics.values import check_kind, metric_named

Array = NDArray[np.float64]
BLOCK_BYTES = 8 << 20  # of 1 to 32 MB, 4 to 8 are fastest: they stay in the cache
NARROWEST_BLOCK = 16
UNDEFINED_SHARE = 0.01


@dataclass(frozen=True)
class Statistic:
    """A metric of several models as a function of the clusters' counts.

    ``values`` takes counts ``[clusters, b]`` and gives ``[b, models]``, NaN where a resample does
    not define the metric; ``height`` is how many rows of ``b`` numbers it needs at once.
    """

    values: Callable[[Array], Array]
    height: int


def resampled_values(
    tasks: Sequence[tuple[str, Mapping[str, Parts]]],
    *,
    n_resamples: int,
    rng: np.random.Generator,
    block_bytes: int = BLOCK_BYTES,
) -> list[Array]:
    """Metric values on cluster resamples, ``[n_resamples, n_models]`` for each task.

    A task is a metric and the parts of its models by name, which must have scored the same rows.
    All tasks here have clusters of one type: as many clusters as there are in their union are
    drawn with replacement, and each draw serves all models of all tasks. Metrics that are ratios
    of sums are matrix products with the counts; AUC and average precision sort each model's
    scores once.

    Memory: the models' parts once more, and blocks of ``block_bytes`` or 16 resamples; the size of
    the blocks changes no value. A resample on which a metric is undefined is a row of NaN.

    Raises:
        UserError: models scored other rows, a metric cannot be resampled, or is undefined on more
            than 1 % of the resamples.
    """
    for _, by_name in tasks:
        check_paired(by_name)
    models = [list(by_name.values()) for _, by_name in tasks]
    clusters = np.unique(np.concatenate([first.cluster for first, *_ in models]))
    statistics = [
        _statistic(metric, of_task, np.searchsorted(clusters, of_task[0].cluster), len(clusters))
        for (metric, _), of_task in zip(tasks, models, strict=True)
    ]
    height = max(len(clusters), *(statistic.height for statistic in statistics))
    width = max(NARROWEST_BLOCK, block_bytes // (8 * height))
    values: list[list[Array]] = [[] for _ in tasks]
    sparse = any(metric in _BUILDERS for metric, _ in tasks)
    for counts in _blocks_of_counts(len(clusters), n_resamples, width, rng):
        if sparse:  # scipy would copy them for each product; a dense product takes them as they are
            counts = np.ascontiguousarray(counts)
        for of_task, statistic in zip(values, statistics, strict=True):
            of_task.append(statistic.values(counts))
    return [
        _checked(metric, np.concatenate(of_task))
        for (metric, _), of_task in zip(tasks, values, strict=True)
    ]


def _blocks_of_counts(
    n_clusters: int, n_resamples: int, width: int, rng: np.random.Generator
) -> Iterator[Array]:
    """Counts ``[n_clusters, b]``, good until the next are asked for."""
    counts = np.empty((min(width, n_resamples), n_clusters))
    for draws in _blocks_of_draws(n_clusters, n_resamples, width, rng):
        block = counts[: len(draws)]
        for count, draw in zip(block, draws, strict=True):
            count[:] = np.bincount(draw, minlength=n_clusters)
        yield block.T


def _blocks_of_draws(
    n_clusters: int, n_resamples: int, width: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Clusters ``[b, n_clusters]``; the next block is drawn while one is counted."""
    drawing = Drawing(n_clusters)
    # two in turn: memory that is new to each block would cost a fault a page
    memory = np.empty((2, min(width, n_resamples), n_clusters), dtype=np.int64)

    def drawn(number: int, b: int) -> NDArray[np.int64]:
        block: NDArray[np.int64] = memory[number % 2, :b]
        for row in block:
            drawing.into(row, rng)
        return block

    sizes = (min(width, n_resamples - start) for start in range(0, n_resamples, width))
    with ThreadPoolExecutor(1) as thread:
        coming: Future[NDArray[np.int64]] | None = None
        for number, b in enumerate(sizes):
            block = None if coming is None else coming.result()
            coming = thread.submit(drawn, number, b)
            if block is not None:
                yield block
        assert coming is not None
        yield coming.result()


def _checked(metric: str, values: Array) -> Array:
    undefined = np.isnan(values).any(axis=1)
    values[undefined] = np.nan
    if undefined.mean() > UNDEFINED_SHARE:
        raise UserError(
            f"{metric}: undefined on {undefined.sum()} of {len(values)} resamples; too few"
            " clusters hold a positive (or a negative) for any test, bring more test data"
        )
    return values


def _statistic(
    metric: str, models: Sequence[Parts], cluster: NDArray[Any], n_clusters: int
) -> Statistic:
    check_kind(metric, models[0])
    if not metric_named(metric).resampled:
        raise UserError(f"{metric}: cannot be resampled; choose another primary metric")
    build = _BUILDERS.get(metric)
    if build is None:
        return _ratio_of_sums(metric, models, cluster, n_clusters)
    each = [build(parts, cluster, n_clusters) for parts in models]
    return Statistic(
        lambda counts: np.stack([one.values(counts) for one in each], axis=1),
        max(one.height for one in each),
    )


def _ratio_of_sums(
    metric: str, models: Sequence[Parts], cluster: NDArray[Any], n_clusters: int
) -> Statistic:
    per_cluster = np.array(
        [
            [np.bincount(cluster, weights=part, minlength=n_clusters) for part in pair]
            for pair in (contributions(metric, parts) for parts in models)
        ]
    )
    numerator, denominator = per_cluster[:, 0], per_cluster[:, 1]
    if np.all(denominator == denominator[0]):
        denominator = denominator[:1]

    def values(counts: Array) -> Array:
        ratio = _divided(
            numerator @ counts,
            np.broadcast_to(denominator @ counts, (len(models), counts.shape[1])),
        )
        return (np.sqrt(ratio) if metric == "rmse" else ratio).T

    return Statistic(values, 2 * len(models))


def _auc(parts: Parts, cluster: NDArray[Any], n_clusters: int) -> Statistic:
    """Pairs won: each positive against the negatives below it and half of those level with it."""
    positive, below, not_above = _sorted_by_step(parts, cluster, n_clusters)
    beaten = 0.5 * (below + not_above)
    is_positive, is_negative = _class_sizes(parts, cluster, n_clusters)

    def values(counts: Array) -> Array:
        won = (positive @ counts) * np.cumsum(beaten @ counts, axis=0)
        pairs = (is_positive @ counts) * (is_negative @ counts)
        return _divided(won.sum(axis=0), pairs)

    return Statistic(values, 3 * positive.shape[0])


def _average_precision(parts: Parts, cluster: NDArray[Any], n_clusters: int) -> Statistic:
    """Sum over the steps of (share of the positives at the step) times (precision there)."""
    positive, below, _ = _sorted_by_step(parts, cluster, n_clusters)
    is_positive, is_negative = _class_sizes(parts, cluster, n_clusters)

    def values(counts: Array) -> Array:
        at_step = positive @ counts
        true = np.cumsum(at_step[::-1], axis=0)[::-1]
        false = is_negative @ counts - np.cumsum(below @ counts, axis=0)
        precision = np.divide(true, true + false, out=np.zeros_like(true), where=at_step > 0)
        return _divided((at_step * precision).sum(axis=0), is_positive @ counts)

    return Statistic(values, 5 * positive.shape[0])


def _macro_f1(parts: Parts, cluster: NDArray[Any], n_clusters: int) -> Statistic:
    """F1 of a class is 2 TP / (labels + predictions); mean over the classes that occur."""
    n_classes = parts.score.shape[1]
    label, predicted = parts.label, predicted_labels(parts)
    if parts.kind == "multiclass":
        label, predicted = (np.eye(n_classes, dtype=np.uint8)[of] for of in (label, predicted))
    hit_sums, label_sums, guess_sums = (
        _summing(classes, cluster[rows], n_classes, n_clusters)
        for rows, classes in map(np.nonzero, (label & predicted, label, predicted))
    )
    occurrence_sums = label_sums + guess_sums

    def values(counts: Array) -> Array:
        occurrences = occurrence_sums @ counts
        occurs = occurrences > 0
        f1 = np.divide(
            2 * (hit_sums @ counts), occurrences, out=np.zeros_like(occurrences), where=occurs
        )
        return _divided(f1.sum(axis=0), occurs.sum(axis=0))

    return Statistic(values, 3 * n_classes)


def _summing(row: NDArray[Any], cluster: NDArray[Any], n_rows: int, n_clusters: int) -> Any:
    """Sparse ``[n_rows, n_clusters]`` whose product with counts adds up each row's clusters."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(row)), (row, cluster)), shape=(n_rows, n_clusters))


def _sorted_by_step(parts: Parts, cluster: NDArray[Any], n_clusters: int) -> tuple[Any, Any, Any]:
    """Sums over clusters for each step, a distinct score of a positive, in ascending order.

    Three sparse ``[steps, n_clusters]``: the positives at the step, and the negatives whose first
    step above them, and whose first step not below them, it is.
    """
    is_positive = parts.label == 1
    steps, step = np.unique(parts.score[is_positive], return_inverse=True)
    negative, of_negative = parts.score[~is_positive], cluster[~is_positive]

    def negatives(first: NDArray[Any]) -> Any:
        exists = first < len(steps)
        return _summing(first[exists], of_negative[exists], len(steps), n_clusters)

    return (
        _summing(step, cluster[is_positive], len(steps), n_clusters),
        negatives(np.searchsorted(steps, negative, side="right")),
        negatives(np.searchsorted(steps, negative, side="left")),
    )


def _class_sizes(
    parts: Parts, cluster: NDArray[Any], n_clusters: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Positives and negatives of each cluster, ``[n_clusters]`` each."""
    positives = np.bincount(cluster, weights=parts.label, minlength=n_clusters)
    negatives = np.bincount(cluster, weights=1 - parts.label, minlength=n_clusters)
    return positives, negatives


def _divided(numerator: Array, denominator: Array) -> Array:
    """The quotient, NaN where the denominator is 0."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


_BUILDERS = {"auc": _auc, "ap": _average_precision, "macro_f1": _macro_f1}
