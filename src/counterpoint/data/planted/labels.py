"""From logits to labels: calibrated biases, nested Bayes probabilities, Bernoulli draws."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit

Reals = npt.NDArray[np.float32]


def probabilities(
    logits: Mapping[str, Reals], biases: Mapping[str, float], parents: Mapping[str, str]
) -> dict[str, Reals]:
    """Bayes probabilities of the tasks that have a bias: sigmoids, at most that of the parent.

    A parent comes before its child in ``biases``.
    """
    bayes: dict[str, Reals] = {}
    for task, bias in biases.items():
        bayes[task] = expit(logits[task] + np.float32(bias))
        if task in parents:
            bayes[task] = np.minimum(bayes[task], bayes[parents[task]])
    return bayes


def drawn_labels(
    bayes: Mapping[str, Reals], parents: Mapping[str, str], generator: np.random.Generator
) -> dict[str, npt.NDArray[np.int8]]:
    """Bernoulli draws; parent and child share one uniform, so that the child's are the parent's."""
    roots = [task for task in bayes if task not in parents]
    rows = len(bayes[roots[0]])
    drawn = dict(zip(roots, generator.random((len(roots), rows), np.float32), strict=True))
    return {
        task: (drawn[parents.get(task, task)] < probability).astype(np.int8)
        for task, probability in bayes.items()
    }


def calibrated_biases(
    logits: Mapping[str, Reals], rates: Mapping[str, float], parents: Mapping[str, str]
) -> dict[str, float]:
    """Biases at which the mean Bayes probability of each task is its rate; parents come first."""
    biases: dict[str, float] = {}
    for task, rate in rates.items():

        def excess(bias: float, task: str = task, rate: float = rate) -> float:
            bayes = probabilities(logits, {**biases, task: bias}, parents)
            return float(bayes[task].mean(dtype=np.float64)) - rate

        biases[task] = float(brentq(excess, -40, 40, xtol=1e-6))
    return biases
