"""The interval that every comparison over seeds is shown with."""

from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.stats import t as student


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """Mean of two or more values, one a seed, and its 95 % t-interval."""
    half = stdev(values) / len(values) ** 0.5 * float(student.ppf(0.975, len(values) - 1))
    mean = fmean(values)
    return {"mean": mean, "low": mean - half, "high": mean + half}
