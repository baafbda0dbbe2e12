"""Choices that are made on validation, in code, and never on the test set."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from counterpoint.metrics import metric_named

Name = TypeVar("Name", str, int)


def best_on_validation(scores: Mapping[Name, float]) -> Name:
    """The name (a seed, a candidate) with the highest validation score; of equals, the first."""
    return max(sorted(scores), key=lambda name: scores[name])


def reference_twin(metric: str, validation: Mapping[str, Sequence[float]]) -> str:
    """Which twin is the reference: the better one on validation, by the mean over its seeds.

    ``validation`` has ``metric``'s values a seed for each twin, such as "narrow" and "wide".
    """
    orientation = metric_named(metric).orientation
    return best_on_validation(
        {name: orientation * float(np.mean(values)) for name, values in validation.items()}
    )
