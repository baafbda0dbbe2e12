from types import SimpleNamespace

import numpy as np
import pytest
import torch

from counterpoint.evaluation.references.interactions import (
    item_cf,
    popularity,
    training_positives,
    truncated_svd,
)
from counterpoint.evaluation.references.links import (
    SEEN_ELSEWHERE,
    link_references,
    ranks,
    seen_elsewhere,
)
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics import check_paired
from counterpoint.nn.heads import PairFactors
from counterpoint.training.scoring import scored_parts


def test_full_ranking_by_hand(link_store):
    positives = training_positives(link_store, "buy")
    pairs = link_store.rows("buy", "test").entity
    rank, n_candidates = ranks(link_store, "buy", pairs, positives, popularity(positives))
    # counts are 3, 1, 1, 1, 0, 0. User 0 has 0 and 1: item 2 is level with 3, before 4 and 5.
    # User 3 has 3: item 0 is before all.
    assert rank.tolist() == [1.5, 1.0]
    assert n_candidates.tolist() == [4, 5]


def test_seen_elsewhere_by_hand(link_store):
    found = link_references(link_store, "buy", "test", seed=0)[SEEN_ELSEWHERE]
    # user 0 has viewed 4 and 3: both before 2; user 3 has viewed 4: before 0
    assert found.rank.tolist() == [3.0, 2.0]
    assert seen_elsewhere(link_store, "buy").nnz == 3


def test_without_a_sibling_there_is_no_seen_elsewhere(link_store):
    lone = {"buy": link_store.meta.tasks["buy"]}
    store = SimpleNamespace(meta=SimpleNamespace(tasks=lone))
    assert seen_elsewhere(store, "buy") is None


@pytest.mark.parametrize("candidates", ["all", "uniform", "popularity"])
def test_ranks_are_what_a_model_with_these_scores_would_get(
    candidates, make_store, link_schema, link_data
):
    rng = np.random.default_rng(3)
    everything = [(int(u), int(i)) for u in range(4) for i in range(6)]
    rng.shuffle(everything)
    buy = {"train": everything[:12], "valid": everything[12:14], "test": everything[14:20]}
    schema = link_schema.model_copy(update={"cross_task": "allow"})
    store = make_store(schema, link_data(buy=buy), candidates=candidates)
    positives = training_positives(store, "buy")
    dense = truncated_svd(positives, 2, seed=0)(np.arange(4)).round(1)  # rounded: ties

    class Model:
        tasks = store.meta.tasks
        factorised = True

        def pair_factors(self, h, task, side):
            vector = torch.eye(4) if side == "src" else torch.from_numpy(dense.T.copy())
            return PairFactors(vector, torch.zeros(len(vector)))

    of_model = scored_parts(
        Model(), TrainingGraph(store), {"buy": torch.zeros(10, 4)}, "buy", "test"
    )
    pairs = store.rows("buy", "test").entity
    rank, n_candidates = ranks(store, "buy", pairs, positives, lambda sources: dense[sources])
    np.testing.assert_array_equal(rank, of_model.rank)
    np.testing.assert_array_equal(n_candidates, of_model.n_candidates)
    check_paired({"model": of_model, **link_references(store, "buy", "test", seed=0)})


def test_blocks_do_not_move_a_rank(link_store, monkeypatch):
    positives = training_positives(link_store, "buy")
    pairs = link_store.rows("buy", "test").entity
    together = ranks(link_store, "buy", pairs, positives, item_cf(positives))
    monkeypatch.setattr("counterpoint.evaluation.references.interactions.CELLS", 1)
    one_by_one = ranks(link_store, "buy", pairs, positives, item_cf(positives))
    np.testing.assert_array_equal(together, one_by_one)
