from collections.abc import Callable

import numpy as np
import pytest

from counterpoint.metrics import Kind, Parts


def made_parts(kind: Kind, n: int = 60, seed: int = 0, n_clusters: int = 12) -> Parts:
    """Parts whose labels and clusters are the same for every seed, and whose scores have ties."""
    fixed, rng = np.random.default_rng(1), np.random.default_rng(seed)
    cluster = fixed.integers(n_clusters, size=n) * 7 + 3
    row = fixed.permutation(n) + 100
    if kind == "link":
        n_candidates = fixed.integers(5, 30, size=n)
        rank = 1 + rng.integers(0, 2 * n_candidates - 1) / 2
        return Parts.of_ranks(cluster=cluster, row=row, rank=rank, n_candidates=n_candidates)
    if kind == "binary":
        label = fixed.integers(2, size=n)
        return Parts(kind, cluster, row, label, np.round(0.3 * label + 0.7 * rng.random(n), 1))
    if kind == "multiclass":
        score = rng.dirichlet(np.ones(4), size=n)
        return Parts(kind, cluster, row, fixed.integers(4, size=n), score)
    if kind == "multilabel":
        return Parts(kind, cluster, row, fixed.random((n, 5)) < 0.4, rng.random((n, 5)))
    return Parts(kind, cluster, row, fixed.normal(size=n), rng.normal(size=n))


@pytest.fixture(scope="session")
def make_parts() -> Callable[..., Parts]:
    return made_parts
