"""What every objective must keep; its own file tests what it asks."""

from functools import partial

import pytest
import torch
from pydantic import TypeAdapter

from counterpoint.auxiliary import AUXILIARIES, AnyAuxiliary, make_auxiliary
from counterpoint.data.schema import TaskKind
from counterpoint.graph.ops import mean
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named

WIDTH = 8
SETTINGS = {kind: {"kind": kind, "seeds": 24} for kind in AUXILIARIES}
every = pytest.mark.parametrize("kind", SETTINGS)


def made(kind, graph, **settings):
    torch.manual_seed(0)
    read = TypeAdapter(AnyAuxiliary).validate_python({**SETTINGS[kind], **settings})
    return make_auxiliary(read, graph.meta, WIDTH)


def whole(graph, nodes, keep=None, hidden=None):
    return graph.view(2, keep, hidden)


def batch_of(objective, graph, seed=0, views=None):
    generator = torch.Generator().manual_seed(seed)
    return objective.batch(graph, views or partial(whole, graph), generator)


def encoder(graph):
    """Random vectors, hidden nodes without one, and ReLUs of their means over neighbours."""
    torch.manual_seed(1)
    vectors = torch.nn.Parameter(torch.randn(graph.meta.n_nodes, WIDTH))

    def encode(view):
        offsets = graph.meta.offsets
        rows = [offsets[name] + inputs.ids for name, inputs in view.inputs.items()]
        h = vectors[torch.cat(rows)]
        if view.order is not None:
            h = h[view.order]
        if view.hidden is not None:
            h = h.masked_fill(view.hidden[:, None], 0.0)
        for block in view.blocks:
            h = h[: block.csr.n_dst] + mean(block.csr, h).relu()
        return h

    return encode, vectors


@every
def test_a_batch_is_a_function_of_the_generator(kind, market_graph):
    objective = made(kind, market_graph)
    first, again, other = (batch_of(objective, market_graph, seed) for seed in (0, 0, 1))
    assert set(first.views) == set(again.views)
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, again.tensors[name])
    changed = [
        not torch.equal(tensor, other.tensors[name])
        for name, tensor in first.tensors.items()
        if tensor.shape == other.tensors[name].shape
    ]
    assert any(changed) or len(changed) < len(first.tensors)


@every
def test_losses_are_finite_and_reach_encoder_and_head(kind, market_graph):
    objective = made(kind, market_graph)
    encode, vectors = encoder(market_graph)
    losses = objective.losses(encode, batch_of(objective, market_graph))
    assert losses.ndim == 1
    assert len(losses) > 0
    assert bool(losses.isfinite().all())
    losses.mean().backward()
    assert vectors.grad is not None
    assert vectors.grad.norm() > 0
    reached = [p.grad is not None and p.grad.norm() > 0 for p in objective.parameters()]
    assert any(reached) or not reached


@every
def test_learns_on_a_fixed_encoder_input(kind, market_graph):
    """With vectors of its own for every node, an objective's loss falls well below the start."""
    objective = made(kind, market_graph)
    encode, vectors = encoder(market_graph)
    optimizer = torch.optim.Adam([vectors, *objective.parameters()], 0.05)
    history = []
    for step in range(60):
        optimizer.zero_grad()
        loss = objective.losses(encode, batch_of(objective, market_graph, step % 4)).mean()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert sum(history[-4:]) < 0.8 * sum(history[:4])


@every
def test_sampled_views_do(kind, market_graph):
    objective = made(kind, market_graph)
    sampler = NeighbourSampler(market_graph, (4, 4))

    def views(nodes, keep=None, hidden=None):
        return sampler.view(nodes, 3, keep, hidden)

    encode, _ = encoder(market_graph)
    losses = objective.losses(encode, batch_of(objective, market_graph, views=views))
    assert len(losses) > 0
    assert bool(losses.isfinite().all())


@every
def test_says_what_it_hides(kind):
    assert len(AUXILIARIES[kind].hides) > 20


@every
@pytest.mark.parametrize(
    ("weighting", "fanouts"),
    [("fixed", (3,)), ("pcgrad", None), ("aux_ts", None), ("selar", (3,))],
    ids=str,
)
def test_trains_beside_the_tasks_and_leaves_nothing_in_the_model(
    kind, weighting, fanouts, market_graph
):
    tasks = {
        name: task
        for name, task in market_graph.meta.tasks.items()
        if task.kind in (TaskKind.BINARY, TaskKind.MULTICLASS)
    }
    settings = TrainSettings.model_validate(
        {
            "encoder": {"width": WIDTH, "layers": 1, "dropout": 0.2},
            "auxiliaries": {"extra": SETTINGS[kind]},
            "epochs": 2,
            "batch_size": 128,
            "fanouts": fanouts,
            "weighting": {"aux_ts": {"hidden": 8}, "selar": {"hidden": 8}},
        }
    )
    cell = cell_named(f"mmoe-gcn-{weighting}")
    found = []
    for _ in range(2):
        trainer = Trainer(market_graph, cell, tasks, settings, seed=0)
        before = {k: p.detach().clone() for k, p in trainer.parameters.items()}
        fit = trainer.fit()
        rows = [row for row in fit.history if (row["task"], row["name"]) == ("extra", "loss")]
        assert len(rows) == 2
        own = trainer.groups["tower:extra"]
        moved = [not torch.equal(before[k], trainer.parameters[k]) for k in own]
        assert any(moved) or not own
        found.append({k: v.clone() for k, v in fit.model.state_dict().items()})
    assert not [k for k in found[0] if "extra" in k]
    for key, tensor in found[0].items():
        assert torch.equal(tensor, found[1][key])
