import os
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader

from counterpoint.graph.sampling import NeighbourSampler, step_key
from counterpoint.graph.views import View
from counterpoint.nn.encoders import ENCODERS, EncoderSettings, make_encoder

MORE_THAN_ANY_DEGREE = 1000


def scored_pairs(graph, every=5):
    starts = torch.tensor([graph.meta.offsets["user"], graph.meta.offsets["item"]])
    rows = graph.store.rows("click", "train")
    return (torch.from_numpy(rows.entity[rows.label == 1]) + starts)[::every]


def shape_of(view: View) -> list[object]:
    """A view as plain numbers, to be compared."""
    numbers = [view.rows.tolist(), view.node_type.tolist(), view.order.tolist()]
    for block in view.blocks:
        values = (block.csr.indptr, block.csr.indices, block.etype, block.degree)
        numbers += [value.tolist() for value in values]
    return [*numbers, *(inputs.ids.tolist() for inputs in view.inputs.values())]


def global_edges(view: View, number: int, offsets: list[int]) -> set[tuple[int, int, int]]:
    """Edges of a block as source, destination, relation in flat node numbers."""
    starts = torch.tensor(offsets)
    by_type = torch.cat(
        [inputs.ids + start for inputs, start in zip(view.inputs.values(), starts, strict=True)]
    )
    flat = by_type if view.order is None else by_type[view.order]
    block = view.blocks[number]
    ends = flat[block.csr.indices], flat[block.csr.dst]
    return set(zip(*(value.tolist() for value in (*ends, block.etype)), strict=True))


@pytest.fixture(scope="module")
def nodes(market_graph):
    """Some of each type, repeated and out of order, the ones without edges among them."""
    meta = market_graph.meta
    alone = [
        start + t.count - 1 for start, t in zip(meta.offsets.values(), meta.node_types, strict=True)
    ]
    return torch.tensor([7, 45, 3, 7, 60, 72, *alone])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ENCODERS)
def test_all_neighbours_give_what_the_whole_graph_gives(market_graph, nodes, kind, masked):
    pairs = scored_pairs(market_graph) if masked else None
    torch.manual_seed(0)
    settings = EncoderSettings(width=4, layers=2)
    encoder = make_encoder(kind, market_graph.meta, settings).eval()
    sampler = NeighbourSampler(market_graph, (MORE_THAN_ANY_DEGREE,) * 2)
    if masked:
        nodes = torch.cat([nodes, pairs.flatten()])
    view = sampler.view(nodes, 0, market_graph.kept_edges(pairs))
    found = encoder(view)[view.local(nodes)]
    expected = encoder(market_graph.view(encoder.depth, market_graph.kept_edges(pairs)))[nodes]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_all_neighbours_give_channels_of_similarity_what_the_whole_graph_gives(
    similar_graph, nodes, masked
):
    """Of both channels, on a graph in which similarity joins most of the nodes."""
    graph, pairs = similar_graph, scored_pairs(similar_graph) if masked else None
    torch.manual_seed(0)
    encoder = make_encoder("mgnn", graph.meta, EncoderSettings(width=4, layers=2)).eval()
    if masked:
        nodes = torch.cat([nodes, pairs.flatten()])
    keep = graph.kept_edges(pairs)
    view = NeighbourSampler(graph, (MORE_THAN_ANY_DEGREE,) * 2).view(nodes, 0, keep)
    found, expected = encoder(view)[view.local(nodes)], encoder(graph.view(2, keep))[nodes]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    x, _, similar = expected.view(-1, 3, 4).unbind(1)
    assert (x != similar).any(1).sum() > len(nodes) / 2  # most hear their peers


def test_outputs_are_the_nodes_asked_for(market_graph, nodes):
    view = NeighbourSampler(market_graph, (2, 2)).view(nodes, 5)
    assert torch.equal(view.rows, nodes.unique())
    assert torch.equal(view.rows[view.local(nodes)], nodes)
    assert view.blocks[-1].csr.n_dst == len(view.rows)
    for inner, outer in zip(view.blocks[1:], view.blocks, strict=False):
        assert inner.csr.n_src == outer.csr.n_dst


def test_fanout_bounds_the_neighbours_and_all_are_edges_of_the_graph(market_graph, nodes):
    graph = market_graph
    view = NeighbourSampler(graph, (4, 2)).view(nodes, 5)
    known = set(
        zip(graph.csr.indices.tolist(), graph.csr.dst.tolist(), graph.etype.tolist(), strict=True)
    )
    offsets = [graph.meta.offsets[t.name] for t in graph.meta.node_types]
    true_degree = graph.csr.indptr.diff()
    for number, fanout in enumerate((4, 2)):
        block = view.blocks[number]
        edges = global_edges(view, number, offsets)
        assert edges <= known
        assert len(edges) == block.csr.n_edges, "an edge was drawn twice"
        sampled = block.csr.indptr.diff()
        assert torch.equal(sampled, block.degree[: block.csr.n_dst].clamp(max=fanout))
    flat = torch.cat(
        [inputs.ids + start for inputs, start in zip(view.inputs.values(), offsets, strict=True)]
    )[view.order]
    assert torch.equal(view.blocks[0].degree, true_degree[flat])


def test_same_key_same_view(market_graph, nodes):
    first, second = (NeighbourSampler(market_graph, (3, 3)) for _ in range(2))
    keys = [step_key(0, 1, step) for step in range(4)]
    views = [shape_of(first.view(nodes, key)) for key in keys]
    assert [shape_of(second.view(nodes, key)) for key in reversed(keys)] == views[::-1]
    assert len({str(view) for view in views}) == len(keys)


def test_same_key_same_view_with_scored_pairs(market_graph, nodes):
    sampler, pairs = NeighbourSampler(market_graph, (3, 3)), scored_pairs(market_graph)
    plain = shape_of(sampler.view(nodes, 1))
    masked = shape_of(sampler.view(nodes, 1, market_graph.kept_edges(pairs)))
    assert shape_of(sampler.view(nodes, 1, market_graph.kept_edges(pairs))) == masked
    assert shape_of(sampler.view(nodes, 1)) == plain, "a mask outlives its step"


@pytest.mark.parametrize("fanout", [2, MORE_THAN_ANY_DEGREE])
def test_scored_pairs_leave_no_trace(market_graph, fanout):
    """Neither as an edge nor in a degree, from which a label could be read."""
    graph, pairs = market_graph, scored_pairs(market_graph)
    view = NeighbourSampler(graph, (fanout, fanout)).view(
        pairs.flatten(), 3, market_graph.kept_edges(pairs)
    )
    offsets = [graph.meta.offsets[t.name] for t in graph.meta.node_types]
    scored = {(u, v) for u, v in pairs.tolist()} | {(v, u) for u, v in pairs.tolist()}
    (whole,) = graph.view(1, graph.kept_edges(pairs)).blocks
    starts = zip(view.inputs.values(), offsets, strict=True)
    flat = torch.cat([inputs.ids + start for inputs, start in starts])[view.order]
    for number, block in enumerate(view.blocks):
        edges = global_edges(view, number, offsets)
        derived = {edge[:2] for edge in edges if bool(graph.derived[edge[2]])}
        assert derived
        assert not derived & scored
        assert torch.equal(block.degree, whole.degree[flat[: block.csr.n_src]])


def test_every_neighbour_is_drawn_alike(market_graph):
    """Chi-square of the draws of one node's neighbours, and no edge out of the mask's reach."""
    graph, user = market_graph, 4
    sampler = NeighbourSampler(graph, (2,))
    offsets = [graph.meta.offsets[t.name] for t in graph.meta.node_types]
    degree = int(graph.csr.indptr.diff()[user])
    counts: dict[tuple[int, int, int], int] = {}
    draws = 600
    for key in range(draws):
        for edge in global_edges(sampler.view(torch.tensor([user]), key), 0, offsets):
            counts[edge] = counts.get(edge, 0) + 1
    assert len(counts) == degree
    expected = 2 * draws / degree
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 3 * degree


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_views_of_the_main_process(market_graph, nodes, workers):
    sampler = NeighbourSampler(market_graph, (3, 3))

    def made(step):
        return shape_of(
            sampler.view(
                nodes, step_key(0, 0, step), market_graph.kept_edges(scored_pairs(market_graph))
            )
        )

    loader = DataLoader(range(4), batch_size=None, collate_fn=made, num_workers=workers)
    assert list(loader) == [made(step) for step in range(4)]


THREADS = """
import sys, torch
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from pathlib import Path
torch.set_num_threads(int(sys.argv[2]))
graph = TrainingGraph(open_store(Path(sys.argv[1])))
view = NeighbourSampler(graph, (3, 3)).view(torch.arange(70), 1)
assert torch.get_num_threads() == int(sys.argv[2])
print([block.csr.indices.tolist() for block in view.blocks])
"""


def test_threads_do_not_matter(market_graph):
    """A worker has one thread, the main process what the user gives it."""
    views = [
        subprocess.run(
            [sys.executable, "-c", THREADS, str(market_graph.store.path), threads],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert views[0] == views[1]
    assert len(views[0]) > 100


def test_step_keys_differ():
    keys = {
        step_key(seed, epoch, step) for seed in range(5) for epoch in range(5) for step in range(40)
    }
    assert len(keys) == 1000
    assert all(0 <= key < 2**31 for key in keys)
    assert step_key(1, 2, 3) == step_key(1, 2, 3)
