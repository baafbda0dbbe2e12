"""Ranking: against plain loops, and the models of run directories."""

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks.ranking import METRICS, measured, model_scorer, ranking, test_positives
from counterpoint.evaluation.references.interactions import popularity
from counterpoint.files import new_folder
from counterpoint.models.contract import TaskBatch
from counterpoint.training.batches import flat_entities
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.scoring import full_representations
from counterpoint.training.settings import TrainSettings, cell_named

test_positives.__test__ = False  # a function of the benchmark, not a test

GRID = ["single_task-gcn-fixed", "shared_bottom-gcn-fixed", "shared_bottom-gcn-dwa"]
SETTINGS = TrainSettings.model_validate(
    {"encoder": {"width": 4, "layers": 1}, "batch_size": 200, "epochs": 1, "threads": 1}
)


def by_loops(scores, positives, pairs):
    """The definitions of the module's docstring, one candidate at a time."""
    popular = positives.sum(axis=0)
    found = {metric: [] for metric in METRICS}
    for src, dst in pairs:
        rank, below, n, weighed, total = 1.0, 0.0, 0, 0.0, 0.0
        for other in range(positives.shape[1]):
            if other == dst or positives[src, other]:
                continue
            difference = scores[src, dst] - scores[src, other]
            won = 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
            rank, below, n = rank + 1 - won, below + won, n + 1
            weighed, total = weighed + popular[other] * won, total + popular[other]
        found["ndcg"].append(1 / np.log2(rank + 1))
        found["auc"].append(below / n)
        found["auc_matched"].append(weighed / total)
    return {metric: np.mean(values) for metric, values in found.items()}


@pytest.fixture
def matrices():
    rng = np.random.default_rng(0)
    positives = (rng.random((12, 20)) < np.linspace(0.05, 0.6, 20)).astype(np.float32)
    held_out = np.argwhere((positives == 0) & (rng.random(positives.shape) < 0.2))
    scores = rng.integers(0, 6, positives.shape).astype(np.float32)  # with ties
    return positives, held_out, scores


def test_measures_are_those_of_plain_loops(matrices):
    positives, pairs, scores = matrices
    found = measured(lambda sources: scores[sources], sparse.csr_array(positives), pairs)
    assert found == pytest.approx(by_loops(scores, positives, pairs))


def test_popularity_is_of_no_use_against_its_own(matrices):
    """Where held-out positives are drawn by popularity too, it is worth a half; uniformly more."""
    positives, _, _ = matrices
    positives[:] = 0
    positives[:, :10], positives[0, 10:] = 1, 1  # ten popular destinations, ten rare ones
    positives[6:] = 0
    popular = positives.sum(axis=0)
    drawn = np.repeat(np.arange(20), popular.astype(int))
    pairs = np.stack([np.full(len(drawn), 11), drawn], axis=1)
    matrix = sparse.csr_array(positives)
    found = measured(popularity(matrix), matrix, pairs)
    assert found["auc_matched"] == pytest.approx(0.5, abs=0.02)
    assert found["auc"] > 0.65


def test_cells_are_beside_their_twins_and_references(market_graph, tmp_path):
    (tmp_path / "graph").symlink_to(market_graph.store.path)
    for name in GRID[:2]:
        with new_folder(tmp_path / "runs" / name) as target:
            cell = cell_named(name)
            CellTrainer(market_graph.store, cell, (0, 1), SETTINGS, target, None, print).run()
    found = ranking(tmp_path, GRID)
    assert list(found["cells"]) == GRID[:2]  # the third is not there yet
    assert set(found["tasks"]) == {"click", "buy", "visit"}
    click = found["tasks"]["click"]
    assert set(click["references"]) == {"popularity", "item-CF", "SVD-30"}
    twin, joint = (click["cells"][name] for name in GRID[:2])
    assert "gain" not in twin["auc"]
    gain = joint["auc"]["mean"] - twin["auc"]["mean"]
    assert joint["auc"]["gain"] == pytest.approx(gain)


@pytest.mark.parametrize("name", GRID[:2])
def test_scores_differ_from_the_logits_by_a_constant_a_source(name, market_graph, tmp_path):
    with new_folder(tmp_path / "run") as target:
        CellTrainer(market_graph.store, cell_named(name), (0,), SETTINGS, target, None, print).run()
    run = open_run(tmp_path / "run")
    model = run.model(market_graph.store, 0, fit="click" if run.cell.is_twin else "joint")
    task = model.tasks["click"]
    items = np.arange(market_graph.meta.count("item"))
    for user in (0, 7):
        entity = np.stack([np.full(len(items), user), items], axis=1)
        flat = flat_entities(market_graph.meta, task, entity)
        batch = TaskBatch("click", market_graph.view(0), flat, torch.zeros(len(items)))
        with torch.no_grad():
            logits = model.score(full_representations(model, market_graph), batch).numpy()
        scores = model_scorer(model, market_graph, "click")(np.array([user]))[0]
        np.testing.assert_allclose(np.ptp(logits - scores), 0, atol=1e-5)
        assert np.ptp(logits) > 1e-3
