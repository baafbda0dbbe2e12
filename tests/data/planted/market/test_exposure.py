import numpy as np
import pytest

from counterpoint.data.planted import planted_preset
from counterpoint.data.planted.market import exposure as module
from counterpoint.data.planted.market.exposure import planned_exposure
from counterpoint.errors import UserError


@pytest.fixture
def many_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 200)
    return planned_exposure(planted_preset("tiny"))


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
