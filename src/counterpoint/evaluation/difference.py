"""A difference between two models with its two variances, and the bounds that follow from them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import stdtr, stdtrit

from counterpoint.errors import UserError


class Difference(BaseModel):
    """Joint minus twin, oriented so that higher is better, and what is not known of it.

    ``seed_variance`` is that of one seed's difference, ``test_variance`` that of the seed-mean
    difference over cluster resamples; ``SE² = seed_variance / n_seeds + test_variance`` (METHODS
    E.6). One artefact against another has no seeds: ``n_seeds`` 1 and ``seed_variance`` 0.
    """

    model_config = ConfigDict(frozen=True)

    delta: float
    seed_variance: float
    n_seeds: int
    test_variance: float
    test_degrees_of_freedom: float

    @property
    def standard_error(self) -> float:
        """Square root of the two parts' sum."""
        return math.sqrt(self.seed_variance / self.n_seeds + self.test_variance)

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's (1946) for the sum of the two parts."""
        of_seeds = self.seed_variance / self.n_seeds
        spread = self.test_variance**2 / self.test_degrees_of_freedom
        if of_seeds:
            spread += of_seeds**2 / (self.n_seeds - 1)
        if not spread:
            return self.test_degrees_of_freedom
        return (of_seeds + self.test_variance) ** 2 / spread

    def lower(self, level: float) -> float:
        """One-sided lower bound: below the truth with probability ``1 - level``."""
        return self.delta - t_quantile(self.degrees_of_freedom, level) * self.standard_error

    def upper(self, level: float) -> float:
        """One-sided upper bound: above the truth with probability ``1 - level``."""
        return self.delta + t_quantile(self.degrees_of_freedom, level) * self.standard_error

    def p_above(self, bound: float) -> float:
        """One-sided p-value of "the truth is at most ``bound``"."""
        return _p_value(self.delta - bound, self.standard_error, self.degrees_of_freedom)

    def p_below(self, bound: float) -> float:
        """One-sided p-value of "the truth is at least ``bound``"."""
        return _p_value(bound - self.delta, self.standard_error, self.degrees_of_freedom)


def difference_over_seeds(
    per_seed: NDArray[np.float64], resampled_mean: NDArray[np.float64], n_clusters: int
) -> Difference:
    """The difference from each seed's on the whole test set ``[S]`` and the seed mean's resamples.

    ``resampled_mean [n_resamples]`` is NaN where a resample does not define the metric. With one
    seed there is no seed variance: that is one artefact against another.
    """
    defined = resampled_mean[~np.isnan(resampled_mean)]
    if n_clusters < 2 or len(defined) < 2:
        raise UserError(
            f"test set: {n_clusters} cluster(s), {len(defined)} usable resamples; test uncertainty"
            " needs two at the least, bring more test data"
        )
    return Difference(
        delta=float(np.mean(per_seed)),
        seed_variance=float(np.var(per_seed, ddof=1)) if len(per_seed) > 1 else 0.0,
        n_seeds=len(per_seed),
        test_variance=float(np.var(defined, ddof=1)),
        test_degrees_of_freedom=1 / (1 / (n_clusters - 1) + 1 / (len(defined) - 1)),
    )


def t_quantile(degrees_of_freedom: float, level: float) -> float:
    """Upper ``level`` quantile of Student's t."""
    return float(stdtrit(degrees_of_freedom, 1 - level))


def _p_value(distance: float, standard_error: float, degrees_of_freedom: float) -> float:
    if not standard_error:
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(degrees_of_freedom, -distance / standard_error))


def holm_levels(p_values: Sequence[float], level: float) -> list[float]:
    """The level at which Holm's (1979) step-down procedure tests each hypothesis.

    A hypothesis is rejected if and only if its p-value is below its level: hypotheses after the
    first that stands are held to that one's level, so a bound at this level tells the same.
    """
    n, levels, stopped = len(p_values), [level] * len(p_values), None
    for step, index in enumerate(sorted(range(n), key=lambda index: p_values[index])):
        levels[index] = level / (n - step) if stopped is None else stopped
        if stopped is None and p_values[index] >= levels[index]:
            stopped = levels[index]
    return levels
