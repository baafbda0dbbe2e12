"""What every objective must keep; its own file tests what it asks."""

from functools import partial
from pathlib import Path

import polars as pl
import pytest
import torch
from pydantic import TypeAdapter

from counterpoint.auxiliary import AUXILIARIES, AnyAuxiliary, AuxiliaryBatch, make_auxiliary
from counterpoint.data.schema import TaskKind
from counterpoint.errors import UserError
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.ops import mean
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.nn.encoders import EncoderSettings, GraphEncoder
from counterpoint.stages.params_file import parsed_params
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

    def encode(view, vectors=vectors):
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


def hidden_nodes(view, graph):
    """Flat numbers of the nodes whose inputs are taken away."""
    if view.order is None:
        return view.hidden.nonzero().flatten()
    offsets = graph.meta.offsets
    rows = [offsets[name] + inputs.ids for name, inputs in view.inputs.items()]
    return torch.cat(rows)[view.order][view.hidden]


@every
@pytest.mark.parametrize("fanouts", [None, (4, 4)], ids=str)
def test_of_hidden_features_nothing_is_left(kind, fanouts, market_graph, other_features):
    """An encoder gives the same bits whatever the features of hidden nodes are."""
    objective = made(kind, market_graph)

    def batch(graph):
        def sampled(nodes, keep=None, hidden=None):
            return NeighbourSampler(graph, fanouts).view(nodes, 3, keep, hidden)

        return batch_of(objective, graph, views=None if fanouts is None else sampled)

    settings = EncoderSettings(width=WIDTH, layers=2, dropout=0.0)
    torch.manual_seed(0)
    encode = GraphEncoder("hgn", market_graph.meta, settings)
    first = batch(market_graph)
    for name, view in first.views.items():
        if view.hidden is None:
            assert "features" not in objective.hides
            continue
        hidden = hidden_nodes(view, market_graph)
        assert len(hidden) > 0
        # outputs are the first of the sources, so a row of the one is a row of the other
        seeds = [rows for key, rows in first.tensors.items() if key.endswith("/seeds")]
        assert bool(view.hidden[torch.cat(seeds)].all())
        others = torch.arange(market_graph.meta.n_nodes)
        others = others[~torch.isin(others, hidden)]
        same = batch(other_features(market_graph, hidden)).views[name]
        changed = batch(other_features(market_graph, others)).views[name]
        assert torch.equal(encode(view), encode(same))
        assert not torch.equal(encode(view), encode(changed))


@pytest.fixture(scope="module")
def other_held_out_graph(make_market, tmp_path_factory):
    """A market, and one with other labels in all rows of valid and test."""
    graphs = []
    for change in (False, True):
        market = make_market()
        if change:
            held_out = pl.col("split") != "train"
            for task, other in {"click": 0, "buy": 0, "spend": 1e3, "topic": 0}.items():
                changed = pl.when(held_out).then(pl.lit(other)).otherwise(pl.col("label"))
                market.change(f"tasks/{task}", label=changed)
        folder = market.write(tmp_path_factory.mktemp("market"))
        target = tmp_path_factory.mktemp("graph")
        build_graph(folder, BuildSettings(candidate_count=5), target)
        graphs.append(TrainingGraph(open_store(target)))
    return graphs


@every
def test_held_out_rows_move_nothing(kind, other_held_out_graph):
    first, other = other_held_out_graph
    for name in ("click", "topic"):
        labels = [graph.store.rows(name, "test").label for graph in (first, other)]
        assert (labels[0] != labels[1]).any()
    found = []
    for graph in (first, other):
        objective = made(kind, graph)
        encode, _ = encoder(graph)
        batch = batch_of(objective, graph)
        found.append((batch.tensors, objective.losses(encode, batch)))
    assert found[0][0].keys() == found[1][0].keys()
    for key, tensor in found[0][0].items():
        assert torch.equal(tensor, found[1][0][key])
    assert torch.equal(found[0][1], found[1][1])


@every
def test_has_a_derivative_in_forward_mode(kind, market_graph):
    """Which AUX-TS and SELAR take of every loss; here against a difference."""
    objective = made(kind, market_graph).double()
    encode, vectors = encoder(market_graph)
    at = vectors.detach().double()
    batch = batch_of(objective, market_graph)
    tensors = {k: x.double() if x.is_floating_point() else x for k, x in batch.tensors.items()}
    batch = AuxiliaryBatch(batch.views, tensors)
    direction = torch.randn(at.shape, dtype=at.dtype, generator=torch.Generator().manual_seed(0))

    def losses(x):
        return objective.losses(lambda view: encode(view, x), batch)

    with torch.no_grad():
        slope = torch.func.jvp(losses, (at,), (direction,))[1]
    step = 1e-6
    with torch.no_grad():
        after, before = losses(at + step * direction), losses(at - step * direction)
    torch.testing.assert_close(slope, (after - before) / (2 * step), rtol=1e-4, atol=1e-5)
    assert float(slope.abs().max()) > 0


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"kind": "degre"}, "extra: Input tag 'degre'.*'degree', 'edge_generation'"),
        ({"seeds": 3}, "extra: Unable to extract tag using discriminator 'kind'"),
        ({"kind": "degree", "mask": 0.5}, "extra.degree.mask: Extra inputs are not permitted"),
        ({"kind": "edge_generation", "mask": 2}, "extra.edge_generation.mask: Input should be"),
        ({"kind": "degree", "seeds": 0}, "extra.degree.seeds: Input should be greater than 0"),
    ],
    ids=str,
)
def test_wrong_settings_are_one_line(settings, fault):
    values = {
        "grid": ["single_task-gcn-fixed", "mmoe-gcn-fixed"],
        "train": {"auxiliaries": {"extra": settings}},
    }
    with pytest.raises(UserError, match=f"^params.yaml: .*auxiliaries.{fault}") as raised:
        parsed_params(values, Path("params.yaml"))
    assert len(raised.value.faults) == 1
    assert "\n" not in str(raised.value)


@every
def test_a_kind_is_its_own_name(kind):
    assert TypeAdapter(AnyAuxiliary).validate_python({"kind": kind}).kind == kind


@every
def test_says_what_it_hides(kind):
    assert len(AUXILIARIES[kind].hides) > 20


@every
def test_scale_multiplies_what_a_weighting_sees(kind, market_graph):
    losses = []
    for scale in (1.0, 4.0):  # a power of two, so that the product is exact
        settings = TrainSettings.model_validate(
            {
                "encoder": {"width": WIDTH, "layers": 1},
                "auxiliaries": {"extra": {**SETTINGS[kind], "scale": scale}},
            }
        )
        tasks = {"click": market_graph.meta.tasks["click"]}
        trainer = Trainer(market_graph, cell_named("mmoe-gcn-fixed"), tasks, settings, seed=0)
        trainer.trained.eval()
        step = trainer.batches.step(0, 0, depth=1, meta="none")
        losses.append(trainer.losses(step, trainer.parameters).per_example)
    assert float(losses[0]["extra"].detach().mean()) > 0
    assert torch.equal(4 * losses[0]["extra"], losses[1]["extra"])
    assert torch.equal(losses[0]["click"], losses[1]["click"])


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
