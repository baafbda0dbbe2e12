import numpy as np
import pytest

from counterpoint.evaluation.slices import COLD, slices
from counterpoint.metrics import Parts, value


@pytest.fixture
def parts(market_graph):
    rows = market_graph.store.rows("click", "test")
    score = np.random.default_rng(0).random(len(rows))
    return Parts("binary", rows.entity[:, 0], np.arange(len(rows)), rows.label, score)


def test_slices_divide_the_rows_and_hold_their_metric(market_graph, parts):
    store = market_graph.store
    found = {one.name: one for one in slices(store, "click", parts)}
    assert found["cold"].n_rows + found["warm"].n_rows == len(parts)
    assert found["head"].n_rows + found["tail"].n_rows == len(parts)
    train, test = (store.rows("click", split).entity for split in ("train", "test"))
    cold = np.array([(train[:, 0] == user).sum() <= COLD for user in test[:, 0]])
    assert found["cold"].n_rows == cold.sum()
    popular = sorted(range(30), key=lambda item: -(train[:, 1] == item).sum())
    n_items = store.meta.count("item")
    head = np.isin(test[:, 1], popular[: round(0.2 * n_items)])
    assert found["head"].n_rows == head.sum()
    for name, rows in (("cold", cold), ("warm", ~cold), ("head", head), ("tail", ~head)):
        one = found[name]
        if len(np.unique(parts.label[rows])) < 2:
            assert one.value is None
            continue
        subset = Parts(
            "binary", parts.cluster[rows], parts.row[rows], parts.label[rows], parts.score[rows]
        )
        assert one.value == value("auc", subset)
    assert any(one.value is not None for one in found.values())


def test_a_task_on_nodes_has_no_slices(market_graph):
    rows = market_graph.store.rows("spend", "test")
    parts = Parts("regression", rows.entity, np.arange(len(rows)), rows.label, rows.label)
    assert slices(market_graph.store, "spend", parts) == []
