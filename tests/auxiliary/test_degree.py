"""Degrees: what is asked by counting edges one by one, and that they cannot be counted."""

from collections import Counter
from functools import partial

import pytest
import torch

from counterpoint.auxiliary.degree import Degree, DegreeSettings
from counterpoint.graph.sampling import NeighbourSampler

WIDTH = 4


def made(graph, seeds=40):
    torch.manual_seed(0)
    return Degree(graph.meta, WIDTH, DegreeSettings(kind="degree", seeds=seeds))


def whole(graph, nodes, keep=None, hidden=None):
    return graph.view(1, keep, hidden)


def batch_of(objective, graph, views=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return objective.batch(graph, views or partial(whole, graph), generator)


def counted(graph):
    """Edges into each node by relation."""
    return Counter(zip(graph.csr.dst.tolist(), graph.etype.tolist(), strict=True))


def test_what_is_asked_are_standardised_logarithms_of_degrees(market_graph):
    batch = batch_of(made(market_graph), market_graph)
    edges, n = counted(market_graph), market_graph.meta.n_nodes
    seeds = batch.tensors["seeds"].tolist()  # of a view of all nodes: their own numbers
    assert len(set(seeds)) == 40
    for relation in range(len(market_graph.meta.relations)):
        logs = torch.tensor([edges[node, relation] + 1.0 for node in range(n)]).log()
        expected = (logs - logs.mean()) / logs.std(correction=0).clamp(min=1e-6)
        torch.testing.assert_close(batch.tensors["degree"][:, relation], expected[seeds])


def test_the_loss_is_the_mean_squared_error_over_relations(market_graph):
    objective = made(market_graph)
    batch = batch_of(objective, market_graph)
    h = torch.randn(market_graph.meta.n_nodes, WIDTH)
    with torch.no_grad():
        found = objective.losses(lambda view: h, batch)
        error = objective.head(h[batch.tensors["seeds"]]) - batch.tensors["degree"]
    expected = torch.stack([sum(x * x for x in row) / len(row) for row in error])
    torch.testing.assert_close(found, expected)


def test_half_of_a_seeds_edges_are_gone_and_nobody_elses(market_graph):
    batch = batch_of(made(market_graph), market_graph)
    block, csr = batch.views["view"].blocks[-1], market_graph.csr
    left, true = block.csr.indptr.diff(), csr.indptr.diff()
    seeds = torch.zeros(market_graph.meta.n_nodes, dtype=torch.bool)
    seeds[batch.tensors["seeds"]] = True
    assert torch.equal(left[~seeds], true[~seeds])
    share = float(left[seeds].sum() / true[seeds].sum())
    spread = 0.5 / float(true[seeds].sum()) ** 0.5
    assert share == pytest.approx(0.5, abs=4 * spread)
    assert torch.equal(block.degree[seeds], left[seeds])  # layers are not told the number either


def test_the_true_degree_is_in_no_view(market_graph):
    """Also of sampled ones, whose blocks carry the degrees that layers scale by."""
    sampler = NeighbourSampler(market_graph, (1000,))

    def views(nodes, keep=None, hidden=None):
        return sampler.view(nodes, 0, keep, hidden)

    batch = batch_of(made(market_graph), market_graph, views)
    view = batch.views["view"]
    true = market_graph.csr.indptr.diff()[view.rows]
    told = view.blocks[-1].degree[: len(true)]
    local = batch.tensors["seeds"]
    known = true[local] > 8  # of few edges all may be kept by chance
    assert int(known.sum()) > 5
    assert bool((told[local][known] < true[local][known]).all())


def test_edges_taken_out_are_drawn_anew_each_step(market_graph):
    objective = made(market_graph, seeds=market_graph.meta.n_nodes)
    first, second = (
        batch_of(objective, market_graph, seed=seed).views["view"].blocks[-1].csr.indptr
        for seed in (0, 1)
    )
    assert not torch.equal(first, second)
