"""Ranks against a plain loop."""

import dataclasses

import numpy as np
import pytest
import torch

from counterpoint.graph.store import GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import TaskBatch
from counterpoint.training.loop import Trainer
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {"encoder": {"width": 8, "layers": 1}, "sharing": {"width": 4, "tower_width": 4}}
)


def with_candidates(graph: TrainingGraph, kind: str) -> TrainingGraph:
    meta = graph.meta.model_copy(update={"candidates": kind})
    store: GraphStore = dataclasses.replace(graph.store, meta=meta)
    return TrainingGraph(store)


@pytest.mark.parametrize("cell", ["mmoe-gcn-fixed", "mogenet-mgnn-fixed"])
def test_ranks_are_those_of_a_plain_loop(
    market_graph: TrainingGraph, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    monkeypatch.setattr("counterpoint.training.scoring.ROWS", 100)
    for kind in ("uniform", "all"):
        graph = with_candidates(market_graph, kind)
        tasks = graph.meta.tasks
        model = Trainer(graph, cell_named(cell), tasks, SETTINGS, 0).model.eval()
        with torch.no_grad():  # so that a mixture's gates differ
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        h = full_representations(model, graph)
        parts = scored_parts(model, graph, h, "visit", "test")
        users, items = graph.meta.offsets["user"], graph.meta.offsets["item"]
        train = set(map(tuple, graph.store.rows("visit", "train").entity.tolist()))
        for k, (user, item) in enumerate(graph.store.rows("visit", "test").entity.tolist()):
            if kind == "all":
                pool = [j for j in range(graph.meta.count("item")) if (user, j) not in train]
            else:
                pool = graph.store.candidates["visit"][user].tolist()
            pool = [j for j in pool if j != item]
            asked = [[users + user, items + other] for other in (item, *pool)]
            batch = TaskBatch("visit", graph.view(0), torch.tensor(asked), torch.zeros(len(asked)))
            with torch.no_grad():
                score = model.score(h, batch).numpy()
            close = np.abs(score[1:] - score[0]) < 1e-5
            above = int(((score[1:] > score[0]) & ~close).sum())
            assert parts.n_candidates[k] == len(pool) + 1
            assert above + 1 <= parts.rank[k] <= above + 1 + close.sum()


def test_scores_are_the_models_probabilities(market_graph: TrainingGraph) -> None:
    tasks = market_graph.meta.tasks
    trainer = Trainer(market_graph, cell_named("shared_bottom-gcn-fixed"), tasks, SETTINGS, 0)
    h = full_representations(trainer.model, market_graph)
    for name, task in tasks.items():
        parts = scored_parts(trainer.model, market_graph, h, name, "valid")
        rows = market_graph.store.rows(name, "valid")
        assert len(parts) == len(rows)
        own = rows.entity[:, 0] if task.is_pair else rows.entity
        np.testing.assert_array_equal(parts.cluster, own)
        if task.kind == "multiclass":
            np.testing.assert_allclose(parts.score.sum(1), 1, atol=1e-5)
