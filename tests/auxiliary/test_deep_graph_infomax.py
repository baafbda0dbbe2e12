"""Deep Graph Infomax: its loss by a loop, and what is shuffled."""

import math

import pytest
import torch

from counterpoint.auxiliary.deep_graph_infomax import (
    DeepGraphInfomax,
    DeepGraphInfomaxSettings,
    shuffled,
)
from counterpoint.graph.sampling import NeighbourSampler

WIDTH = 4


def views_of(graph, fanouts):
    def views(nodes, keep=None, hidden=None):
        if fanouts is None:
            return graph.view(2, keep, hidden)
        return NeighbourSampler(graph, fanouts).view(nodes, 3, keep, hidden)

    return views


def sources(view, graph):
    """Flat number of the node whose inputs each of the first block's sources has."""
    offsets = graph.meta.offsets
    nodes = torch.cat([offsets[name] + inputs.ids for name, inputs in view.inputs.items()])
    return nodes if view.order is None else nodes[view.order]


@pytest.mark.parametrize("fanouts", [None, (3, 3)], ids=str)
def test_losses_by_a_loop(market_graph, fanouts):
    torch.manual_seed(0)
    settings = DeepGraphInfomaxSettings(kind="deep_graph_infomax", seeds=9)
    objective = DeepGraphInfomax(market_graph.meta, WIDTH, settings)
    generator = torch.Generator().manual_seed(0)
    batch = objective.batch(market_graph, views_of(market_graph, fanouts), generator)
    n = len(batch.views["view"].node_type) if fanouts is None else 9
    encoded = {name: torch.randn(n, WIDTH) for name in batch.views}
    by_view = {id(view): encoded[name] for name, view in batch.views.items()}
    with torch.no_grad():
        found = objective.losses(lambda view: by_view[id(view)], batch)
        summary = torch.sigmoid(sum(encoded["view"]) / n)
        wanted = []
        for name, label in (("view", 1), ("shuffled", 0)):
            for row in batch.tensors["seeds"].tolist():
                score = float(encoded[name][row] @ objective.discriminator.weight @ summary)
                p = 1 / (1 + math.exp(-score))
                wanted.append(-math.log(p if label else 1 - p))
    torch.testing.assert_close(found, torch.tensor(wanted))
    assert len(found) == 18


@pytest.mark.parametrize("fanouts", [None, (3, 3)], ids=str)
def test_inputs_change_places_within_their_type_and_edges_stay(market_graph, fanouts):
    nodes = torch.tensor([0, 3, 50, 73])
    view = views_of(market_graph, fanouts)(nodes)
    other = shuffled(view, torch.Generator().manual_seed(0))
    before, after = sources(view, market_graph), sources(other, market_graph)
    types = market_graph.node_type
    assert torch.equal(before.sort().values, after.sort().values)
    assert torch.equal(types[before], types[after])
    assert torch.equal(types[after], other.node_type)
    assert float((before != after).float().mean()) > 0.5
    assert other.blocks is view.blocks
    assert other.rows is view.rows
