import numpy as np
import pytest

from counterpoint.data.schema import TaskKind
from counterpoint.registry.bundle import read_bundle
from counterpoint.stages.champion import bundle_parts
from counterpoint.stages.reference import graph_facts, predictions
from counterpoint.stages.serving import write_served
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.settings import cell_named

from .test_serving import SETTINGS


def test_facts_of_the_graph_are_counts_and_rates(market_graph):
    store, meta = market_graph.store, market_graph.meta
    facts = graph_facts(store)
    users = meta.count("user")
    assert facts["user: nodes"] == users
    degree = np.bincount(market_graph.csr.dst, minlength=meta.n_nodes)
    start = meta.offsets["user"]
    alone = sum(degree[node] == 0 for node in range(start, start + users))
    assert alone >= 1  # the hermit
    assert facts["user: share without an edge"] == pytest.approx(alone / users)
    assert facts["follows: edges a user"] == pytest.approx((users - 1) / users)
    click = store.rows("click", "train").label
    assert facts["click: rate of training labels"] == pytest.approx(sum(click) / len(click))
    assert not any(name.startswith("rev_") or "visit: rate" in name for name in facts)


def test_predictions_are_those_of_the_test_rows(market_graph, tmp_path):
    store = market_graph.store
    (tmp_path / "run").mkdir()
    cell = cell_named("shared_bottom-gcn-fixed")
    CellTrainer(store, cell, (0,), SETTINGS, tmp_path / "run", None, lambda line: None).run()
    write_served(store, open_run(tmp_path / "run"), 0, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    for name, task in store.meta.tasks.items():
        found = predictions(bundle, store, name)
        assert found.shape == (len(store.rows(name, "test")),)
        if task.kind is TaskKind.LINK:
            assert ((found > 0) & (found < 1)).all()
            continue
        score = bundle_parts(bundle, store, name).score
        if task.kind is TaskKind.MULTICLASS:
            assert found.tolist() == [str(np.argmax(row)) for row in score]
        elif task.kind is TaskKind.MULTILABEL:
            np.testing.assert_allclose(found, [row.mean() for row in score], rtol=1e-5)
        else:
            np.testing.assert_allclose(found, score, rtol=1e-5)
