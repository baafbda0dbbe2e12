import numpy as np
import pytest

from counterpoint.data.planted import exposure as module
from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.exposure import distinct_draws, planned_exposure, zipf_popularity
from counterpoint.errors import UserError


@pytest.fixture
def many_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 200)
    return planned_exposure(planted_preset("tiny"))


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


def test_blocks_cover_all_users_and_all_interactions(many_blocks):
    assert len(many_blocks.blocks) > 10
    assert many_blocks.blocks[0][0] == 0
    assert many_blocks.blocks[-1][1] == 300
    assert all(
        a[1] == b[0] for a, b in zip(many_blocks.blocks, many_blocks.blocks[1:], strict=False)
    )
    pairs = np.concatenate(
        [np.stack(many_blocks.pairs(b)) for b in range(len(many_blocks.blocks))], 1
    )
    assert pairs.shape == (2, 3_000)
    assert len(np.unique(pairs, axis=1).T) == 3_000
    assert np.bincount(pairs[0], minlength=300).tolist() == many_blocks.counts.tolist()


def test_a_block_is_the_same_whenever_it_is_drawn(many_blocks):
    last = len(many_blocks.blocks) - 1
    before = many_blocks.pairs(last)
    for block in range(last):
        many_blocks.pairs(block)
    np.testing.assert_array_equal(before, many_blocks.pairs(last))


def test_a_user_who_would_see_nearly_everything_is_refused():
    with pytest.raises(UserError, match=r"busiest user would see \d+ of 20 items.*lower"):
        planned_exposure(planted_preset("tiny", items=20))
