import numpy as np
import pytest

from counterpoint.data.planted.draws import distinct_draws, zipf_popularity


def test_zipf_popularity_falls_with_rank():
    popularity = np.sort(zipf_popularity(100, 0.8, np.random.default_rng(0)))[::-1]
    assert popularity.sum() == pytest.approx(1)
    assert popularity[0] / popularity[9] == pytest.approx(10**0.8)


def test_draws_are_distinct_and_as_many_as_asked():
    counts = np.array([0, 3, 10, 1, 0])
    rows, columns = distinct_draws(counts, np.full(10, 0.1), np.random.default_rng(0))
    assert np.bincount(rows, minlength=5).tolist() == counts.tolist()
    assert columns[rows == 2].tolist() == list(range(10))
    keys = rows * 10 + columns
    assert (np.diff(keys) > 0).all()


def test_draws_follow_popularity_without_replacement():
    popularity = np.array([0.5, 0.3, 0.2])
    rows, columns = distinct_draws(np.full(20_000, 2), popularity, np.random.default_rng(0))
    # two of three, successively: the absent one is c with sum_{a,b != c} p_a p_b / (1 - p_a)
    absent = 3 - np.bincount(rows, columns).astype(int)
    a, b, c = popularity
    expected = [
        b * c / (1 - b) + b * c / (1 - c),
        a * c / (1 - a) + a * c / (1 - c),
        a * b / (1 - a) + a * b / (1 - b),
    ]
    np.testing.assert_allclose(np.bincount(absent) / 20_000, expected, atol=0.015)
