from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from counterpoint.models import SharingSettings
from counterpoint.models.checks import check_model, in_float64
from counterpoint.models.contract import Step
from counterpoint.nn.experts import Experts, Gates

TASKS = ("click", "buy", "topic")
KAPPAS = ("product", "concat", "add", "mlp")


@pytest.fixture
def make(make_tiny):
    """Make a MoGENet of the settings, gates and all away from their start, in float64."""

    def model(tasks=TASKS, encoder="mgnn", graph=None, **mogenet):
        torch.manual_seed(0)
        sharing = SharingSettings(width=5, tower_width=4, mogenet=mogenet)
        made = make_tiny("mogenet", encoder, tasks, graph=graph, **dict(sharing)).double()
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if not name.startswith("encoder"):
                    parameter.add_(0.5 * torch.randn(parameter.shape, dtype=torch.float64))
        return made.eval()

    return model


@pytest.fixture
def step(market_step):
    whole = market_step(2)
    return in_float64(Step({task: whole.batches[task] for task in TASKS}))


@pytest.fixture
def similar_step(step, similar_graph):
    """The same rows, on views of the graph with similarity, with those edges and without."""
    similar = torch.tensor([relation.similarity for relation in similar_graph.meta.relations])
    views = similar_graph.view(2), similar_graph.view(2, ~similar[similar_graph.etype])

    def on(view):
        found = {task: replace(batch, view=view) for task, batch in step.batches.items()}
        return in_float64(Step(found))

    return tuple(on(view) for view in views)


def distinct_parts(view):
    """Representations of width 12 with three parts unlike each other.

    The market has no similarity, and there MGNN's third part is its first.
    """
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(len(view.node_type), 12, generator=generator, dtype=torch.float64)
    return dict.fromkeys(TASKS, h)


def perceptron(layers, x):
    """Hidden layers of a gate's sequence, without its softmax."""
    for layer in layers:
        x = layer(x)
    return x


def joined(model, a, b):
    kappa = model.settings.kappa
    if kappa == "product":
        return a * b
    if kappa == "add":
        return a + b
    both = torch.cat([a, b])
    if kappa == "concat":
        return both
    return F.leaky_relu(model.sharing["pair"].joined.linear(both), 0.1)


def one_by_one(model, h, batch):
    """Equations 3 and 4, a row at a time, an expert at a time."""
    logits, experts = [], model.experts(batch.task)
    for entity in batch.entity.tolist():
        sides = [h[node].view(3, 4) for node in (entity if isinstance(entity, list) else [entity])]
        x = torch.cat([side[0] for side in sides])
        if not experts.graph_experts:
            graph = []
        elif len(sides) == 2:
            (_, hu, su), (_, hi, si) = sides
            graph = [joined(model, a, b) for a, b in ((hu, hi), (hu, si), (su, hi), (su, si))]
        else:
            graph = [sides[0][1], sides[0][2]]
        gate = model.private[batch.task]
        weights = gate[-1].linear(perceptron(gate[:-1], x)).softmax(0)
        total = 0
        for n, weight in enumerate(weights):
            f = x
            for layer in experts.perceptrons:
                f = F.leaky_relu(f @ layer.weight[n] + layer.bias[n], 0.1)
            parts = [f]
            if experts.graph_experts:
                carried = n < experts.graph_experts
                parts.append(graph[n] if carried else torch.zeros_like(graph[n]))
            total = total + weight * torch.cat(parts)
        output = model.towers[batch.task]
        logits.append(output.weight @ total + output.bias)
    found = torch.stack(logits)
    return found if model.tasks[batch.task].classes else found[:, 0]


@pytest.mark.parametrize("graph_experts", [0, 1, 3, 4])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_logits_equal_a_loop_over_rows_and_experts(make, step, kappa, graph_experts):
    model = make(kappa=kappa, graph_experts=graph_experts, gate_layers=(3,))
    h = distinct_parts(step.batches["buy"].view)
    for batch in step.batches.values():
        expected = one_by_one(model, h[batch.task], batch)
        torch.testing.assert_close(model.score(h, batch), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("graph_experts", [0, 1, 2, 4])
def test_edges_of_similarity_reach_the_experts_that_carry_them_and_no_gate(
    make, similar_graph, similar_step, graph_experts
):
    """The first carries what neighbours say of both sides, from the second on also of peers."""
    model = make(graph=similar_graph, graph_experts=graph_experts)
    found, without = (model(step).logits for step in similar_step)
    for task in TASKS:
        assert torch.equal(found[task], without[task]) == (graph_experts < 2)
    gates = []
    model.private["buy"].register_forward_hook(lambda gate, given, made: gates.append(made))
    for step in similar_step:
        model(step)
    assert torch.equal(*gates)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_every_setting_keeps_the_contract(make, step, kappa):
    others = {"mlp": {"output": "shared"}, "add": {"gate_layers": (), "balanced": "batch"}}
    check_model(make(kappa=kappa, **others.get(kappa, {})), step)


def test_without_what_the_graph_says_it_is_mmoe(make, make_tiny, step):
    model = make(encoder="gcn", graph_experts=0, layers=1, gate_layers=())
    mmoe = make_tiny("mmoe", "gcn", TASKS, experts=2).double().eval()
    experts = model.sharing["node"]
    with torch.no_grad():
        mmoe.encoder.load_state_dict(model.encoder.state_dict())
        mmoe.sharing.load_state_dict(experts.perceptrons[0].state_dict())
        mmoe.private["topic"].load_state_dict(model.private["topic"][0].state_dict())
    batch = step.batches["topic"]
    mixed = mmoe.encode(batch.view)["topic"][batch.entity]
    expected = model.towers["topic"](mixed)
    found = model.score(model.encode(batch.view), batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_without_what_the_graph_says_two_tasks_on_pairs_are_mmoe_on_both_sides_features(make, step):
    tasks = ("click", "buy")
    model = make(tasks, graph_experts=0, layers=1, gate_layers=())
    (layer,) = model.sharing["pair"].perceptrons
    experts = Experts(4, 4 + 4, 5).double()
    experts.load_state_dict(layer.state_dict())
    found = {}
    for task in tasks:
        gates, output = Gates(4 + 4, 4).double(), torch.nn.Linear(5, 1).double()
        gates.load_state_dict(model.private[task][0].state_dict())
        output.load_state_dict(model.towers[task].state_dict())
        h = distinct_parts(step.batches[task].view)
        src, dst = step.batches[task].entity.unbind(1)
        x = torch.cat([h[task][src, :4], h[task][dst, :4]], dim=1)
        expected = output(torch.einsum("ne,new->nw", gates(x), experts(x))).squeeze(1)
        found[task] = model.score(h, step.batches[task])
        torch.testing.assert_close(found[task], expected, rtol=0, atol=1e-12)
    assert torch.equal(step.batches["click"].entity, step.batches["buy"].entity)
    assert not torch.allclose(found["click"], found["buy"])  # gates and outputs of their own


def test_without_experts_and_similar_nodes_it_is_a_graph_networks_inner_product(make, step):
    model = make(("click",), graph_experts=1)
    experts, gate = model.sharing["pair"], model.private["click"]
    with torch.no_grad():
        experts.perceptrons[1].weight.zero_()
        experts.perceptrons[1].bias.zero_()
        gate[-1].linear.weight.zero_()
        gate[-1].linear.bias.copy_(torch.tensor([1e3, 0, 0, 0]))
        model.towers["click"].weight[:, 5:] = 1.0
    batch = step.batches["click"]
    h = distinct_parts(batch.view)
    sides = (h["click"][rows].view(-1, 3, 4)[:, 1] for rows in batch.entity.unbind(1))
    expected = torch.linalg.vecdot(*sides) + model.towers["click"].bias
    torch.testing.assert_close(model.score(h, batch), expected, rtol=0, atol=1e-12)


def test_the_cooperative_loss_is_least_for_uniform_gates(make, step):
    model = make(balance=0.5)
    h = model.encode(step.batches["buy"].view)
    batch = step.batches["buy"]
    x = torch.cat([h["buy"][rows][:, :4] for rows in batch.entity.unbind(1)], 1)
    gates = model.private["buy"](x)
    pairs = [(n, m) for n in range(4) for m in range(n + 1, 4)]
    each = sum(gates[:, n] * gates[:, m] for n, m in pairs)
    found = model(step).penalties
    assert set(found) == {f"balance:{task}" for task in TASKS}
    torch.testing.assert_close(found["balance:buy"], -0.5 * each.mean())
    whole = make(balance=0.5, balanced="batch")
    mean = gates.mean(0)
    expected = -0.5 * sum(mean[n] * mean[m] for n, m in pairs)
    torch.testing.assert_close(whole(step).penalties["balance:buy"], expected)
    torch.nn.init.zeros_(model.private["buy"][-1].linear.weight)
    torch.nn.init.zeros_(model.private["buy"][-1].linear.bias)
    uniform = model(step).penalties["balance:buy"]
    assert float(uniform.detach()) == pytest.approx(-0.5 * 3 / 8)
    assert uniform < found["balance:buy"]


def test_penalties_come_with_the_logits(make, step):
    assert set(make()(step).penalties) == {f"balance:{task}" for task in TASKS}
    assert not make(balance=0.0)(step).penalties
    views = in_float64(Step({"click": step.batches["click"]})).batches  # a view of its own
    two = Step({**step.batches, "click": views["click"]})
    assert set(make()(two).penalties) == {f"balance:{task}" for task in TASKS}


def test_an_output_vector_may_be_shared(make, step):
    model = make(output="shared")
    groups = model.parameter_groups()
    assert "sharing.outputs.pair-1.weight" in groups["shared"]
    assert all(name.startswith("private.[buy]") for name in groups["tower:buy"])
    outputs = model.sharing["outputs"]
    assert set(outputs) == {"pair-1", "node-3"}
    h = model.encode(step.batches["buy"].view)
    with torch.no_grad():
        model.private["buy"].load_state_dict(model.private["click"].state_dict())
    batches = step.batches
    clicks = model.score(h, batches["click"])
    same = model.score(h, type(batches["buy"])("buy", *list(vars(batches["click"]).values())[1:]))
    assert torch.equal(clicks, same)


def test_groups(make):
    groups = make().parameter_groups()
    assert "sharing.pair.perceptrons.0.weight" in groups["last_shared"]
    assert {"towers.[buy].weight", "private.[buy].0.weight"} < set(groups["tower:buy"])


def test_the_order_of_tasks_does_not_matter(make, step):
    model, other = make(), make(TASKS[::-1])
    other.load_state_dict(model.state_dict())
    found, expected = other(step), model(step)
    for task in TASKS:
        assert torch.equal(found.logits[task], expected.logits[task])
