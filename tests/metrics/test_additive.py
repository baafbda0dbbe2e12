import numpy as np
import pytest

from counterpoint.metrics import Parts
from counterpoint.metrics.additive import contributions, rank_gain, user_auc


def test_discounts_at_the_first_ranks():
    ranks = np.array([1, 2, 3, 4, 8])
    np.testing.assert_allclose(rank_gain("ndcg")(ranks), 1 / np.log2(ranks + 1))
    np.testing.assert_allclose(rank_gain("ndcg_paper")(ranks), [1, 1, 1 / np.log2(3), 1 / 2, 1 / 3])
    np.testing.assert_allclose(rank_gain("mrr")(ranks), 1 / ranks)
    np.testing.assert_array_equal(rank_gain("hr@3")(ranks), [1, 1, 1, 0, 0])


def test_a_tie_across_rank_k_is_a_miss():
    parts = Parts.of_ranks(
        cluster=np.arange(2),
        row=np.arange(2),
        rank=np.array([10, 10.5]),
        n_candidates=np.array([20, 20]),
    )
    np.testing.assert_array_equal(contributions("hr@10", parts)[0], [1, 0])


def test_user_auc_by_hand():
    parts = Parts(
        "binary",
        cluster=np.array([5, 9, 5, 9, 5, 7]),
        row=np.arange(6),
        label=np.array([1, 1, 0, 0, 0, 1]),
        score=np.array([0.5, 0.2, 0.5, 0.9, 0.1, 0.3]),
    )
    auc, kept = user_auc(parts)
    np.testing.assert_allclose(auc, [0.75, 0, 0.75, 0, 0.75, 0])
    np.testing.assert_array_equal(kept, [True, True, True, True, True, False])


@pytest.mark.parametrize("metric", ["mrr", "ndcg", "ndcg_paper"])
def test_multilabel_rows_without_a_true_class_do_not_count(metric):
    parts = Parts(
        "multilabel",
        cluster=np.arange(2),
        row=np.arange(2),
        label=np.array([[0, 0, 0], [1, 0, 1]]),
        score=np.array([[0.2, 0.3, 0.1], [0.3, 0.9, 0.1]]),
    )
    numerator, denominator = contributions(metric, parts)
    np.testing.assert_array_equal(denominator, [0, 1])
    expected = {
        "mrr": 1 / 2,
        "ndcg": (1 / np.log2(3) + 1 / 2) / (1 + 1 / np.log2(3)),
        "ndcg_paper": (1 + 1 / np.log2(3)) / 2,
    }[metric]
    np.testing.assert_allclose(numerator, [0, expected])


def test_false_classes_level_with_the_first_true_one_count_one_half():
    parts = Parts("multilabel", [0], [0], [[1, 1, 0, 0, 0]], [[0.7, 0.7, 0.7, 0.9, 0.1]])
    assert contributions("mrr", parts)[0] == pytest.approx(1 / 2.5)
