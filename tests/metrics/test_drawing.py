import numpy as np
import pytest
from scipy import stats

from counterpoint.metrics.drawing import Drawing

RESAMPLES = 4000


def counts_of(n: int, seed: int = 0) -> np.ndarray:
    rng, drawing, out = np.random.default_rng(seed), Drawing(n), np.empty(n, dtype=np.int64)
    found = np.empty((RESAMPLES, n), dtype=np.int64)
    for counts in found:
        drawing.into(out, rng)
        assert 0 <= out.min() <= out.max() < n
        counts[:] = np.bincount(out, minlength=n)
    return found


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 600])  # around a bucket, and several
def test_counts_are_those_of_a_multinomial(n):
    counts = counts_of(n)
    assert (counts.sum(1) == n).all()
    if n == 1:
        return
    totals = counts.sum(0)
    assert stats.chisquare(totals).pvalue > 1e-4
    # the bootstrap stands on variances and covariances: 1 - 1/n and -1/n
    a, b = n - 1, n // 2 - 1 if n > 2 else 0  # in the last bucket, and before it
    for place in (a, b):
        assert counts[:, place].var() == pytest.approx(1 - 1 / n, rel=6 * (2 / RESAMPLES) ** 0.5)
    assert np.cov(counts[:, a], counts[:, b])[0, 1] == pytest.approx(-1 / n, abs=6 / RESAMPLES**0.5)
    values, seen = np.unique(counts, return_counts=True)
    expected = stats.binom(n, 1 / n).pmf(values) * counts.size
    assert np.abs(seen - expected)[expected > 50].max() < 6 * expected.max() ** 0.5


def test_a_seed_draws_the_same_again():
    np.testing.assert_array_equal(counts_of(300, seed=1)[:50], counts_of(300, seed=1)[:50])
    assert (counts_of(300, seed=1) != counts_of(300, seed=2)).any()
