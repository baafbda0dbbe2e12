from dataclasses import replace

import numpy as np
import pytest
import torch

from counterpoint.graph.ops import Csr
from counterpoint.graph.views import TrainingGraph, TypeInput, View


def edges_of(csr: Csr, etype: torch.Tensor) -> set[tuple[int, int, int]]:
    return set(zip(csr.indices.tolist(), csr.dst.tolist(), etype.tolist(), strict=True))


def edges_in(view: View) -> set[tuple[int, int, int]]:
    return edges_of(view.blocks[0].csr, view.blocks[0].etype)


def flat_pairs(graph: TrainingGraph, task: str, split: str = "train") -> torch.Tensor:
    starts = [graph.meta.offsets[node_type] for node_type in graph.meta.tasks[task].node_types]
    return torch.from_numpy(graph.store.rows(task, split).entity) + torch.tensor(starts)


def test_flat_graph_has_every_relation_and_its_reverse(market_graph):
    graph, meta = market_graph, market_graph.meta
    edges = edges_of(graph.csr, graph.etype)
    assert len(edges) == graph.csr.n_edges == sum(relation.edges for relation in meta.relations)
    assert {(dst, src, etype ^ 1) for src, dst, etype in edges} == edges
    for number, relation in enumerate(meta.relations):
        ends = [(src, dst) for src, dst, etype in edges if etype == number]
        assert len(ends) == relation.edges
        for node_type, nodes in zip(
            (relation.src, relation.dst), zip(*ends, strict=True), strict=True
        ):
            place = [t.name for t in meta.node_types].index(node_type)
            assert set(graph.node_type[list(nodes)].tolist()) == {place}


def test_derived_edges_are_the_positives_of_training(market_graph):
    rows = market_graph.store.rows("click", "train")
    pairs = flat_pairs(market_graph, "click")[torch.from_numpy(rows.label) == 1]
    derived = market_graph.derived[market_graph.etype]
    csr = market_graph.csr
    found = set(zip(csr.indices[derived].tolist(), csr.dst[derived].tolist(), strict=True))
    either_way = {(u, v) for u, v in pairs.tolist()} | {(v, u) for u, v in pairs.tolist()}
    assert found == either_way


def test_view_of_the_whole_graph(market_graph):
    view = market_graph.view(3)
    assert len(view.blocks) == 3
    assert view.rows is None
    nodes = torch.tensor([3, 70, 3])
    assert torch.equal(view.local(nodes), nodes)
    for block in view.blocks:
        assert torch.equal(block.degree, market_graph.csr.indptr.diff())
    assert market_graph.view(0).blocks == ()


def test_scored_pairs_lose_their_derived_edges_both_ways_and_no_other(market_graph):
    graph = market_graph
    pairs = flat_pairs(graph, "click")[::3]
    (block,) = graph.view(1, graph.kept_edges(pairs)).blocks
    scored = {(u, v) for u, v in pairs.tolist()} | {(v, u) for u, v in pairs.tolist()}
    before = edges_of(graph.csr, graph.etype)
    lost = {e for e in before if e[:2] in scored and bool(graph.derived[e[2]])}
    assert 0 < len(lost) < len(before) / 2
    assert edges_of(block.csr, block.etype) == before - lost
    assert torch.equal(block.degree, block.csr.indptr.diff())
    again = torch.cat([pairs, pairs])  # repeated, as when two tasks score a pair
    assert edges_in(graph.view(1, market_graph.kept_edges(again))) == before - lost


@pytest.mark.parametrize(
    "pairs", [None, torch.zeros(0, 2, dtype=torch.int64), torch.tensor([[0, 0], [40, 71]])]
)
def test_pairs_without_derived_edges_mask_nothing(market_graph, pairs):
    every = edges_of(market_graph.csr, market_graph.etype)
    assert edges_in(market_graph.view(1, market_graph.kept_edges(pairs))) == every


def test_parallel_edges_are_all_found():
    """Two derived relations and a static one join 0 and 1; only the derived are masked."""
    src, dst = torch.tensor([0, 0, 0, 1, 1, 1, 2]), torch.tensor([1, 1, 1, 0, 0, 0, 0])
    csr, order = Csr.from_edges(src, dst, 3, 3)
    etype = torch.tensor([0, 2, 4, 1, 3, 5, 4])[order]

    class Bare(TrainingGraph):
        def __init__(self) -> None:
            self.csr, self.etype, self.device = csr, etype, torch.device("cpu")
            self.derived = torch.tensor([True, True, False, False, True, True])
            self.meta = type("Meta", (), {"n_nodes": 3})()

    keep = Bare().kept_edges(torch.tensor([[0, 1]]))
    left = sorted(
        zip(csr.indices[keep].tolist(), csr.dst[keep].tolist(), etype[keep].tolist(), strict=True)
    )
    assert left == [(0, 1, 2), (1, 0, 3), (2, 0, 4)]


def test_rows_of_inputs():
    bag = Csr(torch.tensor([0, 2, 2, 5]), torch.tensor([4, 1, 0, 3, 3]), 5)
    dense, codes = torch.rand(3, 2), torch.tensor([[1], [2], [3]])
    inputs = TypeInput(torch.arange(3), dense, codes, {"words": bag})
    rows = torch.tensor([2, 1, 2, 0])
    taken = inputs.at(rows)
    assert torch.equal(taken.ids, rows)
    assert torch.equal(taken.dense, dense[rows])
    assert torch.equal(taken.codes, codes[rows])
    assert taken.bags["words"].indptr.tolist() == [0, 3, 3, 6, 8]
    assert taken.bags["words"].indices.tolist() == [0, 3, 3, 0, 3, 3, 4, 1]
    assert taken.bags["words"].n_src == 5
    assert inputs.at(rows[:0]).bags["words"].indptr.tolist() == [0]


def test_rows_of_a_table(market_graph):
    whole = market_graph.inputs["shop"]
    table = torch.rand(5, 2, requires_grad=True)
    assert whole.of_nodes(table) is table
    assert whole.to(torch.device("cpu")).of_nodes(table) is table
    for rows in (torch.arange(5), torch.tensor([3, 0, 3])):
        taken = whole.at(rows).of_nodes(table)
        assert torch.equal(taken, table[rows])
        (gradient,) = torch.autograd.grad(taken.sum(), table)
        assert torch.equal(gradient[:, 0], torch.bincount(rows, minlength=5).float())


def test_a_block_knows_what_was_left_out(market_graph):
    (block,) = market_graph.view(1).blocks
    assert block.is_whole
    h = torch.rand(market_graph.meta.n_nodes, 2)
    assert block.at_destinations(h) is h
    lost = replace(block, degree=block.degree + (torch.arange(len(block.degree)) == 3))
    assert not lost.is_whole
    first = Csr(block.csr.indptr[:3], block.csr.indices[: int(block.csr.indptr[2])], len(h))
    fewer = replace(block, csr=first)
    assert fewer.is_whole
    assert torch.equal(fewer.at_destinations(h), h[:2])


def test_inputs_are_the_stored_features(market_graph):
    user, item = market_graph.inputs["user"], market_graph.inputs["item"]
    features = market_graph.store.features
    assert np.array_equal(user.dense, features["user/dense"])
    assert np.array_equal(user.codes, features["user/codes"])
    assert np.array_equal(item.bags["words"].indptr, features["item/words.indptr"])
    shop = market_graph.inputs["shop"]
    assert shop.dense is None
    assert shop.codes is None
    assert torch.equal(shop.ids, torch.arange(5))
