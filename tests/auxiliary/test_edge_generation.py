"""Edge generation: InfoNCE by loops, what the view shows, the queue."""

import copy
import math

import pytest
import torch

from counterpoint.auxiliary import AuxiliaryBatch
from counterpoint.auxiliary.edge_generation import EdgeGeneration, EdgeGenerationSettings
from counterpoint.errors import UserError
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.graph.store import TypeMeta
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named

WIDTH = 4
TYPES = [TypeMeta(name="user", count=30), TypeMeta(name="item", count=20)]
CLICKS = [(u, i) for u in range(30) for i in range(20) if (u * 7 + i * 3) % 5 == 0]
RELATIONS = {
    "click": ("user", "item", CLICKS),
    "buy": ("user", "item", CLICKS[::20]),
    "knows": ("user", "user", [(u, (u + step) % 30) for u in range(30) for step in (1, 4)]),
}


def made(graph, **settings):
    torch.manual_seed(0)
    values = {"kind": "edge_generation", "seeds": 20, **settings}
    return EdgeGeneration(graph.meta, WIDTH, EdgeGenerationSettings.model_validate(values))


def batch_of(objective, graph, seed=0, fanouts=None):
    def whole(nodes, keep=None, hidden=None):
        return graph.view(2, keep, hidden)

    def sampled(nodes, keep=None, hidden=None):
        return NeighbourSampler(graph, fanouts).view(nodes, 5, keep, hidden)

    generator = torch.Generator().manual_seed(seed)
    return objective.batch(graph, whole if fanouts is None else sampled, generator)


def vectors_of(graph):
    return torch.randn(graph.meta.n_nodes, WIDTH, generator=torch.Generator().manual_seed(7))


def asked(batch):
    return [key.removesuffix(":pairs") for key in batch.tensors if key.endswith(":pairs")]


def neighbours(graph):
    found = {v: {v} for v in range(graph.meta.n_nodes)}
    for u, v in zip(graph.csr.indices.tolist(), graph.csr.dst.tolist(), strict=True):
        found[v].add(u)
    return found


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def info_nce(objective, graph, batch, h):
    """The losses by a loop over edges and negatives."""
    linked, losses, counts = neighbours(graph), [], []
    for place, name in enumerate(objective.places):
        if name not in asked(batch):
            continue
        pairs = batch.tensors[f"{name}:pairs"].tolist()
        for (v, u), near in zip(pairs, batch.tensors[f"{name}:negatives"].tolist(), strict=True):
            query = objective.heads[name](h[v])
            others = [h[w] for w in near if w not in linked[v]]
            for node, direction in zip(
                objective.queue_nodes[place].tolist(), objective.queue[place], strict=True
            ):
                if node >= 0 and node not in linked[v]:
                    others.append(direction)
            scores = [cosine(query, x) / 0.1 for x in [h[u], *others]]
            losses.append(math.log(sum(map(math.exp, scores))) - scores[0])
            counts.append(len(others))
    return torch.tensor(losses), counts


@pytest.mark.parametrize("filled", [False, True])
def test_losses_are_info_nce(small_graph, filled):
    graph = small_graph(TYPES, RELATIONS)
    objective, h = made(graph, queue=12, negatives=6), vectors_of(graph)
    if filled:
        objective.remember(lambda view: h * 2 + 1, batch_of(objective, graph, 1), 0.9)
    batch = batch_of(objective, graph)
    with torch.no_grad():
        wanted, counts = info_nce(objective, graph, batch, h)
        found = objective.losses(lambda view: h, batch)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert max(counts) <= 6 + 10 * filled  # 10 of 12 places are in use at .9
    assert max(counts) > 6 * filled


def test_negatives_are_distinct_nodes_of_the_source_type_and_many(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    objective = made(graph, negatives=6)
    batch, seen = batch_of(objective, graph), set()
    for name in asked(batch):
        for row in batch.tensors[f"{name}:negatives"].tolist():
            assert len(set(row)) == len(row) == 6
            assert max(row) < 30  # all relations here come from users
            seen |= set(row)
    assert len(seen) > 20


def test_the_order_of_the_edges_does_not_matter(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    objective, h = made(graph), vectors_of(graph)
    batch = batch_of(objective, graph)
    order = torch.randperm(len(batch.tensors["click:pairs"]))
    tensors = dict(batch.tensors)
    for key in ("click:pairs", "click:negatives"):
        tensors[key] = tensors[key][order]
    turned = objective.losses(lambda view: h, AuxiliaryBatch(batch.views, tensors))
    n = len(order)
    straight = objective.losses(lambda view: h, batch)
    torch.testing.assert_close(turned[:n], straight[:n][order])
    torch.testing.assert_close(turned[n:], straight[n:])


@pytest.mark.parametrize("fanouts", [None, (5, 5), (100, 100)], ids=str)
def test_no_edge_of_the_view_joins_a_pair_that_is_asked_for(small_graph, fanouts):
    graph = small_graph(TYPES, RELATIONS)
    objective = made(graph, relations=("click", "rev-click", "knows"))
    for seed in range(5):
        batch = batch_of(objective, graph, seed, fanouts)
        view = batch.views["view"]
        hidden = {
            frozenset(pair)
            for name in asked(batch)
            for pair in batch.tensors[f"{name}:pairs"].tolist()
        }
        assert hidden
        shown = 0
        for block, nodes in zip(view.blocks, sources(view, graph), strict=True):
            ends = torch.stack([nodes[block.csr.indices], nodes[block.csr.dst]], dim=1)
            joined = {frozenset(pair) for pair in ends.tolist()}
            assert not joined & hidden
            shown += len(joined)
        assert shown


def sources(view, graph):
    """Flat node numbers of each block's sources; a block's destinations are its first sources."""
    offsets = graph.meta.offsets
    inputs = [offsets[name] + inputs.ids for name, inputs in view.inputs.items()]
    nodes = torch.cat(inputs)
    nodes = nodes if view.order is None else nodes[view.order]
    found = []
    for block in view.blocks:
        found.append(nodes)
        nodes = nodes[: block.csr.n_dst]
    return found


@pytest.mark.parametrize("fanouts", [None, (100, 100)], ids=str)
def test_degrees_do_not_count_what_is_masked(small_graph, fanouts):
    graph = small_graph(TYPES, RELATIONS)
    objective = made(graph, relations=("click",), mask=1.0)
    view = batch_of(objective, graph, 0, fanouts).views["view"]
    block = view.blocks[-1]
    items = sources(view, graph)[-1][: block.csr.n_dst] >= 30
    assert int(items.sum())
    assert not bool(block.degree[: block.csr.n_dst][items].any())


def test_relations_with_few_masked_edges_are_not_asked_but_stay_masked(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    objective = made(graph, mask=1.0)
    batch = batch_of(objective, graph)
    assert "buy" in objective.places
    assert len(CLICKS[::20]) <= 8
    assert asked(batch) == ["click", "knows"]
    only = made(graph, relations=("buy",))
    batch, h = batch_of(only, graph), vectors_of(graph).requires_grad_()
    losses = only.losses(lambda view: h, batch)
    assert losses.shape == (0,)
    losses.sum().backward()  # an empty loss has a gradient all the same
    only.remember(lambda view: h, batch, 1.0)
    assert bool((only.queue_nodes == -1).all())
    assert batch.views["view"].blocks[0].csr.n_edges < graph.csr.n_edges


def test_no_more_is_asked_for_than_edges_says(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    batch = batch_of(made(graph, edges=10), graph)
    assert [len(batch.tensors[f"{name}:pairs"]) for name in asked(batch)] == [10, 10]


def test_a_graph_of_one_node_type(small_graph):
    graph = small_graph([TYPES[0]], {"knows": RELATIONS["knows"]})
    objective = made(graph, mask=1.0, seeds=30)
    batch = batch_of(objective, graph)
    pairs = [frozenset(pair) for pair in batch.tensors["knows:pairs"].tolist()]
    assert len(set(pairs)) == len(pairs) == 60
    assert batch.views["view"].blocks[0].csr.n_edges == 0
    assert bool(objective.losses(lambda view: vectors_of(graph), batch).isfinite().all())


def test_the_queue_grows_with_progress_newest_first(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    objective, h = made(graph, edges=10, queue=40), vectors_of(graph)
    place, pushed = list(objective.places).index("click"), []
    for step, progress in enumerate((0.01, 0.25, 0.5, 0.75, 1.0)):
        batch = batch_of(objective, graph, step)
        objective.remember(lambda view: h, batch, progress)
        if step:  # at .01 the queue has no place yet
            pushed = batch.tensors["click:pairs"][:, 1].tolist() + pushed
        nodes = objective.queue_nodes[place]
        assert nodes[nodes >= 0].tolist() == pushed == nodes[: len(pushed)].tolist()
    assert len(pushed) == 40
    objective.remember(lambda view: h, batch_of(objective, graph, 9), 1.0)
    assert objective.queue_nodes[place][10:].tolist() == pushed[:30]
    wanted = torch.nn.functional.normalize(h[objective.queue_nodes[place]], dim=-1)
    torch.testing.assert_close(objective.queue[place], wanted)


def test_losses_leave_the_queue_alone_and_have_a_derivative_in_forward_mode(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    objective, h = made(graph).double(), vectors_of(graph).double()
    objective.remember(lambda view: h, batch_of(objective, graph, 1), 1.0)
    before = copy.deepcopy(objective.state_dict())
    batch, direction = batch_of(objective, graph), torch.randn_like(h)

    def losses(x):
        return objective.losses(lambda view: x, batch)

    value, slope = torch.func.jvp(losses, (h,), (direction,))
    step = 1e-6
    difference = (losses(h + step * direction) - losses(h - step * direction)) / (2 * step)
    torch.testing.assert_close(slope, difference, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(value, losses(h))
    for key, tensor in objective.state_dict().items():
        assert torch.equal(tensor, before[key])


@pytest.mark.parametrize("weighting", ["fixed", "selar"])
def test_a_killed_run_goes_on_to_the_same_bits_with_its_queue(market_graph, weighting, tmp_path):
    settings = TrainSettings.model_validate(
        {
            "encoder": {"width": 8, "layers": 1, "dropout": 0.2},
            "auxiliaries": {"edges": {"kind": "edge_generation", "seeds": 24, "queue": 64}},
            "weighting": {"selar": {"hidden": 8}},
            "epochs": 4,
            "batch_size": 128,
        }
    )
    tasks = {"buy": market_graph.meta.tasks["buy"]}

    def trainer():
        return Trainer(
            market_graph, cell_named(f"shared_bottom-gcn-{weighting}"), tasks, settings, 0
        )

    class KilledError(Exception):
        pass

    def killer(epoch, score):
        if epoch == 1:
            raise KilledError

    whole, again = trainer(), trainer()
    whole.fit()
    checkpoint = tmp_path / "state"
    with pytest.raises(KilledError):
        trainer().fit(checkpoint, every_seconds=0, report=killer)
    again.fit(checkpoint, every_seconds=1e9)
    state = whole.trained.auxiliaries["edges"].state_dict()
    assert bool((state["queue_nodes"] >= 0).any())
    for key, tensor in whole.trained.state_dict().items():
        assert torch.equal(tensor, again.trained.state_dict()[key]), key


def test_a_wrong_relation_is_one_line(small_graph):
    graph = small_graph(TYPES, RELATIONS)
    with pytest.raises(UserError, match="likes is none of the graph's; there are click, rev-click"):
        made(graph, relations=("click", "likes"))
    with pytest.raises(UserError, match="no relation"):
        made(small_graph([TYPES[0]], {"knows": RELATIONS["knows"]}), relations=())
