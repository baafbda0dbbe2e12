"""Before joint training is paid for: the smallest margin that this test set and S can decide."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from counterpoint.evaluation.difference import Difference, t_quantile
from counterpoint.evaluation.evidence import (
    GateSettings,
    Request,
    TwinEvidence,
    check_tasks,
    oriented_resamples,
)
from counterpoint.metrics import metric_named, value

POWER = 0.8


class PreflightTask(BaseModel):
    """What one task's test set can decide with ``n_seeds`` seeds.

    A joint model exactly as good as its twin is shown non-inferior at ``smallest_margin`` with
    probability 0.8. ``difference`` holds the expected variances, its ``delta`` is 0.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    metric: str
    margin: float
    smallest_margin: float
    decidable: bool
    n_seeds: int
    n_clusters: int
    difference: Difference
    reason: str


def preflight(
    tasks: Sequence[TwinEvidence], settings: GateSettings, n_seeds: int | None = None
) -> list[PreflightTask]:
    """Smallest decidable margins, from the twins' scored test sets alone.

    The joint model is taken to differ from its twin as one seed of the twin does from another:
    in its mean over the test set by chance of the seed, and from cluster to cluster for good (the
    pessimistic reading: what seeds average out, systematic differences do not). ``n_seeds`` is
    the plan, by default the last declared look.

    Raises:
        UserError: fewer than two seeds, or a metric is undefined on this test set.
    """
    check_tasks(tasks)
    planned = n_seeds or settings.looks[-1]
    requests = [
        Request(
            task.metric,
            task.cluster_type,
            {f"{task.name}: twin, seed {seed}": task.twin[seed] for seed in sorted(task.twin)},
        )
        for task in tasks
    ]
    return [
        _preflight_task(task, resampled, settings.level, planned)
        for task, resampled in zip(tasks, oriented_resamples(requests, settings), strict=True)
    ]


def _preflight_task(
    task: TwinEvidence, resampled: np.ndarray, level: float, n_seeds: int
) -> PreflightTask:
    orientation = metric_named(task.metric).orientation
    on_test = [orientation * value(task.metric, task.twin[seed]) for seed in sorted(task.twin)]
    n_clusters = len(np.unique(next(iter(task.twin.values())).cluster))
    defined = resampled[~np.isnan(resampled).any(axis=1)]
    around_own_mean = defined - defined.mean(axis=0)
    difference = Difference(
        delta=0.0,
        seed_variance=2 * float(np.var(on_test, ddof=1)),
        n_seeds=n_seeds,
        test_variance=2 * float(np.var(around_own_mean, axis=1, ddof=1).mean()),
        test_degrees_of_freedom=1 / (1 / (n_clusters - 1) + 1 / (len(defined) - 1)),
    )
    degrees = difference.degrees_of_freedom
    quantiles = t_quantile(degrees, level) + t_quantile(degrees, 1 - POWER)
    smallest = quantiles * difference.standard_error
    decidable = smallest <= task.margin
    return PreflightTask(
        name=task.name,
        metric=task.metric,
        margin=task.margin,
        smallest_margin=smallest,
        decidable=decidable,
        n_seeds=n_seeds,
        n_clusters=n_clusters,
        difference=difference,
        reason=(
            f"{task.name}: {n_seeds} seeds and {n_clusters} clusters decide a margin of"
            f" {smallest:.4g} {task.metric}; {'enough' if decidable else 'too coarse'} for"
            f" {task.margin:.4g}"
        ),
    )
