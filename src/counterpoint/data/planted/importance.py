"""How much which signal matters to which task: the planted truth that gates are compared with."""

from collections.abc import Mapping

import numpy as np

from counterpoint.data.planted.draws import Floats
from counterpoint.data.planted.hidden_graph import HiddenGraph, Reals

Importance = Mapping[str, Mapping[str, float]]  # task to signal to weight, a unit vector a task


def at_cosine(one: Floats, other: Floats, cosine: float) -> Floats:
    """The unit vector at ``cosine`` to ``one``, in its plane with ``other``; both orthonormal."""
    vector: Floats = cosine * one + np.sqrt(1 - cosine**2) * other
    return vector


def cosines(importance: Importance) -> dict[str, dict[str, float]]:
    """Cosine of every two tasks' importances."""
    vectors = {task: np.array(list(weights.values())) for task, weights in importance.items()}
    return {
        task: {other: float(vector @ vectors[other]) for other in vectors}
        for task, vector in vectors.items()
    }


def weighed_signals(
    graph: HiddenGraph,
    paths: Mapping[str, tuple[str, ...]],
    importance: Importance,
    temperature: float,
) -> dict[str, Reals]:
    """For each task the sum of weight x signal over ``temperature`` ``[receivers, latent_width]``.

    Args:
        graph: which carries the signals.
        paths: by signal, the relations it comes by; all end at one node type.
        importance: the signals' weights; those of other signals are not looked at.
        temperature: what the sum is divided by.
    """
    weighed: dict[str, Reals] = {}
    for name, path in paths.items():
        signal = graph.signal(*path) / np.float32(temperature)
        for task, weights in importance.items():
            part = np.float32(weights[name]) * signal
            weighed[task] = weighed[task] + part if task in weighed else part
    return weighed
