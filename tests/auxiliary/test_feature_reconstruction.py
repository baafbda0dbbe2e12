"""Feature reconstruction: its two errors by loops, and how much is hidden."""

from functools import partial

import pytest
import torch

from counterpoint.auxiliary.feature_reconstruction import (
    FeatureReconstruction,
    FeatureReconstructionSettings,
)

WIDTH = 4


def made(graph, **settings):
    torch.manual_seed(0)
    values = {"kind": "feature_reconstruction", "seeds": 12, **settings}
    return FeatureReconstruction(
        graph.meta, WIDTH, FeatureReconstructionSettings.model_validate(values)
    )


def whole(graph, nodes, keep=None, hidden=None):
    return graph.view(1, keep, hidden)


def batch_of(objective, graph):
    generator = torch.Generator().manual_seed(0)
    return objective.batch(graph, partial(whole, graph), generator)


@pytest.mark.parametrize("error", ["squared", "scaled_cosine"])
def test_errors(market_graph, error):
    objective = made(market_graph, error=error)
    batch = batch_of(objective, market_graph)
    h = torch.randn(market_graph.meta.n_nodes, WIDTH)
    with torch.no_grad():
        found = objective.losses(lambda view: h, batch)
        wanted = []
        for name in ("user", "item"):
            for node in batch.tensors[f"{name}/seeds"].tolist():
                x = market_graph.inputs[name].dense[node - market_graph.meta.offsets[name]]
                guess = objective.heads[name](h[node])
                if error == "squared":
                    wanted.append((guess - x) @ (guess - x) / len(x))
                else:
                    wanted.append((1 - guess @ x / (guess.norm() * x.norm())) ** 2)
    torch.testing.assert_close(found, torch.stack(wanted))
    assert len(found) == 12


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_the_nodes_with_dense_columns_is_hidden_the_seeds_among_them(
    market_graph, share
):
    batch = batch_of(made(market_graph, share=share), market_graph)
    hidden = batch.views["view"].hidden
    candidates = market_graph.meta.count("user") + market_graph.meta.count("item")
    assert int(hidden.sum()) == round(share * candidates)
    assert not bool(hidden[market_graph.meta.offsets["shop"] :].any())
    seeds = torch.cat([batch.tensors[f"{name}/seeds"] for name in ("user", "item")])
    assert bool(hidden[seeds].all())
