"""Which edges go, against loops over all of them."""

import pytest
import torch

from counterpoint.auxiliary.masking import edges_without, masked_pairs, neighbour_keys
from counterpoint.graph.store import TypeMeta

TYPES = [TypeMeta(name="user", count=6), TypeMeta(name="item", count=5)]
CLICKS = [(u, i) for u in range(6) for i in range(5) if (u + 2 * i) % 3]
RELATIONS = {
    "click": ("user", "item", [*CLICKS, CLICKS[0]]),  # one edge twice
    "buy": ("user", "item", CLICKS[::2]),
    "knows": ("user", "user", [(0, 1), (1, 0), (1, 2), (2, 2), (3, 4), (5, 0)]),
}


def edges_of(graph):
    return list(
        zip(graph.csr.indices.tolist(), graph.csr.dst.tolist(), graph.etype.tolist(), strict=True)
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def number(graph, name):
    return [relation.name for relation in graph.meta.relations].index(name)


def test_all_pairs_of_the_relation_into_seeds_and_no_others(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    seeds = torch.tensor([6, 8, 9, 0])
    place = number(graph, "click")
    found = masked_pairs(graph, place, seeds, 1.0, generator())
    wanted = {(v, u) for u, v, r in edges_of(graph) if r == place and v in {6, 8, 9}}
    assert {tuple(pair) for pair in found.tolist()} == wanted
    assert len(found) == len(wanted)  # the edge that is there twice is one pair


def test_undirected_pairs_of_one_type_are_masked_once(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    everyone = masked_pairs(graph, number(graph, "knows"), torch.arange(6), 1.0, generator())
    assert everyone.tolist() == [[0, 1], [0, 5], [1, 2], [3, 4]]
    # v is a seed whichever end that is
    some = masked_pairs(graph, number(graph, "knows"), torch.tensor([1, 4]), 1.0, generator())
    assert some.tolist() == [[1, 0], [4, 3]]


def test_the_share_is_kept(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    place, seeds = number(graph, "click"), torch.arange(6, 11)
    sizes = [len(masked_pairs(graph, place, seeds, 0.5, generator(k))) for k in range(200)]
    assert abs(sum(sizes) / 200 / len(CLICKS) - 0.5) < 0.03


def test_nothing_joins_a_pair_that_was_taken_out(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    pairs = torch.tensor([[6, CLICKS[0][0]], [8, 2], [1, 0], [10, 5]])
    gone = {frozenset(pair) for pair in pairs.tolist()}
    wanted = [frozenset((u, v)) not in gone for u, v, _ in edges_of(graph)]
    assert edges_without(graph, pairs).tolist() == wanted
    assert not all(wanted)
    assert bool(edges_without(graph, pairs[:0]).all())


def test_parallel_edges_in_any_order_are_the_same_graph(small_graph):
    found = []
    n = 2 * sum(len(pairs) for _, _, pairs in RELATIONS.values())
    for order in (torch.arange(n), torch.randperm(n, generator=generator())):
        graph = small_graph(TYPES, RELATIONS, order=order.tolist())
        seeds = torch.tensor([6, 7, 9])
        pairs = masked_pairs(graph, number(graph, "click"), seeds, 0.5, generator())
        keep = edges_without(graph, pairs)
        left = sorted(edge for edge, kept in zip(edges_of(graph), keep, strict=True) if kept)
        found.append((pairs.tolist(), left))
    assert found[0] == found[1]


@pytest.mark.parametrize("nodes", [[6, 9], [0], []], ids=str)
def test_neighbours_are_those_of_any_relation_and_the_node_itself(small_graph, nodes):
    graph = small_graph(TYPES, RELATIONS)
    pairs = {(v, u) for u, v, _ in edges_of(graph) if v in nodes} | {(v, v) for v in nodes}
    wanted = sorted(v * 11 + u for v, u in pairs)
    assert neighbour_keys(graph, torch.tensor(nodes, dtype=torch.int64)).tolist() == wanted
