"""Other tests of the same differences: reported beside the gate's, deciding nothing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtr
from scipy.stats import rankdata

from counterpoint.evaluation.difference import difference_over_seeds, t_quantile
from counterpoint.evaluation.estimate import TaskScores
from counterpoint.metrics import Parts

MOST_FLIPPED_SEEDS = 20
Array = NDArray[np.float64]


class Sensitivity(BaseModel):
    """What other tests say of one task; p-values are two-sided, of no difference.

    ``paired_t_lower`` knows the seeds' variance alone. ``leave_one_seed_out`` has the gate's
    lower bound without each seed. DeLong's test (AUC alone) takes rows for independent and seeds
    for fixed. None where a test does not apply.
    """

    model_config = ConfigDict(frozen=True)

    paired_t_lower: float
    paired_t_p: float
    sign_flip_p: float | None
    leave_one_seed_out: dict[int, float] | None
    delong_standard_error: float | None
    delong_p: float | None


def sensitivity(scores: TaskScores, level: float) -> Sensitivity:
    """Run the other tests on one task."""
    differences, n_seeds = scores.per_seed, len(scores.seeds)
    over_seeds = scores.difference().model_copy(update={"test_variance": 0.0})
    delong = _delong(scores) if scores.task.metric == "auc" else None
    return Sensitivity(
        paired_t_lower=over_seeds.delta
        - t_quantile(n_seeds - 1, level) * over_seeds.standard_error,
        paired_t_p=min(1.0, 2 * min(over_seeds.p_above(0), over_seeds.p_below(0))),
        sign_flip_p=sign_flip_p(differences) if n_seeds <= MOST_FLIPPED_SEEDS else None,
        leave_one_seed_out=_leave_one_seed_out(scores, level) if n_seeds > 2 else None,
        delong_standard_error=delong,
        delong_p=2 * float(ndtr(-abs(over_seeds.delta) / delong)) if delong else None,
    )


def sign_flip_p(differences: Array) -> float:
    """Exact two-sided p-value over all ``2^n`` flips of the differences' signs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    observed = abs(differences.sum())
    return float(np.mean(np.abs(sums) >= observed * (1 - 1e-9)))


def delong_standard_error(joint: Sequence[Parts], twin: Sequence[Parts]) -> float:
    """Standard error of the seed-mean AUC difference (DeLong, DeLong and Clarke-Pearson 1988).

    The mean over seeds is linear in the placement values, so theirs are averaged first; ranks
    give them in n log n (Sun and Xu 2014).
    """
    sides = [
        [np.mean(values, axis=0) for values in zip(*map(_placements, models), strict=True)]
        for models in (joint, twin)
    ]
    variances = (
        np.var(ours - theirs, ddof=1) / len(ours) for ours, theirs in zip(*sides, strict=True)
    )
    return float(np.sqrt(sum(variances)))


def _delong(scores: TaskScores) -> float | None:
    task = scores.task
    return delong_standard_error(
        [task.joint[seed] for seed in scores.seeds], [task.twin[seed] for seed in scores.seeds]
    )


def _placements(parts: Parts) -> tuple[Array, Array]:
    """Share of the negatives below each positive, and of the positives above each negative."""
    is_positive = parts.label == 1
    positive, negative = parts.score[is_positive], parts.score[~is_positive]
    rank = rankdata(parts.score)
    return (
        (rank[is_positive] - rankdata(positive)) / len(negative),
        1 - (rank[~is_positive] - rankdata(negative)) / len(positive),
    )


def _leave_one_seed_out(scores: TaskScores, level: float) -> dict[int, float]:
    bounds = {}
    for index, seed in enumerate(scores.seeds):
        kept = np.delete(scores.resampled, index, axis=1).mean(axis=1)
        without = difference_over_seeds(np.delete(scores.per_seed, index), kept, scores.n_clusters)
        bounds[seed] = without.lower(level)
    return bounds
