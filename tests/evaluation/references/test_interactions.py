import numpy as np
import pytest
from scipy import sparse

from counterpoint.evaluation.references.interactions import (
    block_scores,
    item_cf,
    item_cf_products,
    popularity,
    scorers,
    seen_then_popular,
    source_blocks,
    training_positives,
    truncated_svd,
)

# users 0..2, items 0..3; nobody has item 3
POSITIVES = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], np.float32))


def test_popularity_counts_whatever_the_source():
    scores = popularity(POSITIVES)(np.array([2, 0]))
    np.testing.assert_array_equal(scores, [[3, 1, 1, 0], [3, 1, 1, 0]])


def test_item_cf_is_the_summed_cosine():
    scores = item_cf(POSITIVES)(np.array([2, 0]))
    third = 1 / np.sqrt(3)  # items 0 and 1: one user in common, of three and one
    np.testing.assert_allclose(scores[0], [1, third, third, 0], rtol=1e-6)
    np.testing.assert_allclose(scores[1], [1 + third, third + 1, third, 0], rtol=1e-6)


def test_item_cf_products_are_those_of_both_products():
    rng = np.random.default_rng(0)
    positives = sparse.random_array((30, 20), density=0.2, rng=rng, format="csr")
    positives.data[:] = 1
    sources = np.array([3, 5, 5, 11])
    through = positives[np.unique(sources)]
    counted = sum(
        positives[[other]].nnz
        for _, item in zip(*through.nonzero(), strict=True)
        for other in positives[:, [item]].nonzero()[0]
    )
    assert item_cf_products(positives, sources) == counted


def test_item_cf_is_left_out_where_it_is_too_much_work(monkeypatch):
    monkeypatch.setattr("counterpoint.evaluation.references.interactions.MOST_PRODUCTS", 5)
    assert set(scorers(POSITIVES, np.array([0]), seed=0)) == {"popularity", "SVD-2"}


def test_svd_of_full_rank_gives_the_matrix_back():
    rng = np.random.default_rng(0)
    dense = (rng.random((6, 5)) < 0.5).astype(np.float32)
    positives = sparse.csr_array(dense)
    scores = truncated_svd(positives, 5, seed=0)(np.arange(6))
    per_source = np.sqrt(1 + dense.sum(1, keepdims=True))
    np.testing.assert_allclose(scores * per_source, dense, atol=1e-5)


def test_svd_scores_what_nobody_has_exactly_zero():
    positives = sparse.random_array((60, 40), density=0.1, rng=np.random.default_rng(0))
    dense = (positives.toarray() > 0).astype(np.float32)
    dense[:, [3, 17]] = 0
    scores = truncated_svd(sparse.csr_array(dense), 8, seed=0)(np.arange(60))
    assert (scores[:, [3, 17]] == 0).all()
    assert (scores[:, 4] != 0).any()


def test_seen_comes_first_then_popularity():
    seen = sparse.csr_array(np.array([[0, 0, 1, 2], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32))
    scores = seen_then_popular(POSITIVES, seen)(np.array([0, 1]))
    assert scores[0].argsort()[::-1].tolist()[:3] == [3, 2, 0]
    np.testing.assert_array_equal(scores[1], [3, 1, 1, 0])


@pytest.mark.parametrize("n_dst", [1, 1 << 22, 1 << 30])
def test_blocks_hold_every_place_once_by_source(n_dst):
    sources = np.random.default_rng(0).integers(0, 50, 1000)
    places = np.concatenate(list(source_blocks(sources, n_dst)))
    assert sorted(places.tolist()) == list(range(1000))
    assert (np.diff(sources[places]) >= 0).all()
    assert all(len(block) * n_dst <= max(1 << 24, n_dst) for block in source_blocks(sources, n_dst))


def test_block_scores_repeat_a_source():
    scores = block_scores(popularity(POSITIVES), np.array([1, 0, 1]))
    assert scores.shape == (3, 4)


def test_training_positives_are_ones_of_train_alone(link_store):
    found = training_positives(link_store, "view").toarray()
    assert found.sum() == 3
    assert found[0, 4] == found[3, 4] == found[0, 3] == 1
