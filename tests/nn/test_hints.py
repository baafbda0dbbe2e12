"""Hint networks: which edges they see, and that their pairs are of what the hubs said."""

import pytest
import torch

from counterpoint.graph.ops import Csr
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.graph.views import Block, TrainingGraph
from counterpoint.nn.hints import HintNetwork, HintNetworks, HintSettings

# three users 0-2, four items 3-6
POPULARITY = torch.tensor([0, 0, 0, 2, 7, 0, 7])
USERS = torch.tensor([True, True, True, False, False, False, False])


def networks(hubs: int, popularity=POPULARITY, users=USERS) -> HintNetworks:
    torch.manual_seed(0)
    return HintNetworks(["a"], 4, popularity, users, HintSettings(hubs=hubs, layers=2))


class Whole:
    """A view of the seven nodes, all of which are outputs."""

    rows = None
    node_type = torch.tensor([0, 0, 0, 1, 1, 1, 1])


def edges(block: Block) -> set[tuple[int, int]]:
    return set(zip(block.csr.indices.tolist(), block.csr.dst.tolist(), strict=True))


@pytest.mark.parametrize(("hubs", "expected"), [(1, {4}), (2, {4, 6}), (3, {3, 4, 6})])
def test_the_most_popular_items_speak_to_every_user(hubs, expected):
    """Of equally popular ones the first."""
    found = edges(networks(hubs).block(Whole))
    assert found == {(hub, user) for hub in expected for user in range(3)}


def test_an_item_that_nobody_has_is_no_hub():
    assert edges(networks(5).block(Whole)) == edges(networks(3).block(Whole))


def test_where_outputs_are_sampled_hubs_are_the_most_popular_of_those(
    market_graph: TrainingGraph,
):
    n, offsets = market_graph.meta.n_nodes, market_graph.meta.offsets
    popularity, users = torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.bool)
    users[offsets["user"] : offsets["user"] + 41] = True
    items = torch.arange(offsets["item"], offsets["item"] + 31)
    popularity[items] = torch.arange(31)
    nodes = torch.cat([items[[3, 9, 4]], torch.arange(offsets["user"], offsets["user"] + 5)])
    view = NeighbourSampler(market_graph, (2,)).view(nodes, 0)
    made = networks(2, popularity, users)
    block, hubs = made.block(view), view.local(items[[4, 9]]).tolist()
    of_view = view.local(nodes[3:]).tolist()
    assert edges(block) == {(hub, user) for hub in hubs for user in of_view}
    h = torch.randn(len(view.rows), 4)
    pairs = view.local(torch.stack([nodes[3:6], nodes[:3]], dim=1))
    assert made.networks["a"](block, h, pairs).isfinite().all()


def test_logits_are_dot_products_after_attention_to_the_hubs():
    """By a plain loop over users and layers."""
    torch.manual_seed(1)
    network = HintNetwork(4, 2).double()
    block = networks(3).block(Whole)
    h = torch.randn(7, 4, dtype=torch.float64)
    pairs = torch.tensor([[0, 4], [2, 3], [1, 5]])
    found = network(block, h, pairs)
    hubs = [3, 4, 6]
    for number, layer in enumerate(network.layers):
        h = h.relu() if number else h
        z, rows = layer.linear(h), []
        for node in range(7):
            row = layer.attention.own(h[node])
            if node < 3:
                logits = torch.stack([(z[hub] * layer.attention.a_src[0]).sum() for hub in hubs])
                logits = logits + (z[node] * layer.attention.a_dst[0]).sum()
                attention = torch.nn.functional.leaky_relu(logits, 0.2).softmax(0)
                row = row + attention @ z[hubs]
            rows.append(row)
        h = torch.stack(rows)
    expected = (h[pairs[:, 0]] * h[pairs[:, 1]]).sum(1) / 2
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_and_forward_mode_in_float64():
    network = HintNetwork(3, 2).double()
    block = networks(2).block(Whole)
    h = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    pairs = torch.tensor([[0, 4], [2, 3]])
    assert torch.autograd.gradcheck(lambda x: network(block, x, pairs), (h,), check_forward_ad=True)


def test_without_any_popular_item_there_are_no_edges():
    made = networks(5, popularity=torch.zeros(7, dtype=torch.int64))
    block = made.block(Whole)
    assert isinstance(block.csr, Csr)
    assert block.csr.n_edges == 0
    h = torch.randn(7, 4)
    assert made.networks["a"](block, h, torch.tensor([[0, 4]])).isfinite().all()
