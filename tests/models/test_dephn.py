import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from counterpoint.errors import UserError
from counterpoint.models import SharingSettings
from counterpoint.models.checks import check_model, in_float64
from counterpoint.models.contract import Step, per_example_loss
from counterpoint.models.dephn_settings import VirtualGradientSettings
from counterpoint.models.virtual_gradient import coefficients

H = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TASKS = ("click", "buy", "topic")
PLAIN = {"fields": 2, "selection": False, "private": (), "maps": ("raw",), "virtual": None}
VIRTUAL = {
    f"{combination} {shape} {correlation}": {
        "combination": combination,
        "shape": shape,
        "correlation": correlation,
    }
    for combination in ("additive", "multiplicative")
    for shape in ("cosine", "absolute", "square", "root")
    for correlation in ("pearson", "cosine")
}
# METHODS D.7, from MMoE's parts to the whole, with the three arrangements of the paper's Table I
LADDER = {
    "experts": {**PLAIN, "gates": "mapping"},
    "selection": {**PLAIN, "gates": "mapping", "selection": True},
    "all public": {
        "public": ("dnn", "dnn", "dnn", "cross", "field"),
        "private": (),
        "maps": ("raw",),
        "virtual": None,
    },
    "dnn private": {
        "public": ("cross", "field"),
        "private": ("dnn",),
        "maps": ("raw",),
        "virtual": None,
    },
    "dnn public": {"maps": ("raw",), "virtual": None},
    "maps": {"virtual": None},
    "four maps": {"maps": ("raw", "square", "sin", "cos"), "virtual": None},
    "mapping gates": {"gates": "mapping", "virtual": None},
    "other forms": {"cross": "dcn_v2", "field": "fint", "virtual": None},
    **{name: {"virtual": virtual} for name, virtual in VIRTUAL.items()},
}


@pytest.fixture
def make(make_tiny):
    """Make a DEPHN of the settings, gates and all away from their start, in float64."""

    def model(tasks=TASKS, encoder="gcn", field_width=8, **dephn):
        torch.manual_seed(0)
        sharing = SharingSettings(width=5, tower_width=4, dephn={"fields": 2, **dephn})
        shape = {"field_width": field_width, **dict(sharing)}
        made = make_tiny("dephn", encoder, tasks, **shape).double()
        with torch.no_grad():
            for task in tasks:
                gates = made.private[task].gates
                if isinstance(gates, torch.Tensor):
                    gates.add_(0.3 * torch.randn(gates.shape, dtype=torch.float64))
        return made.eval()

    return model


def some_labels(market_step, depth=2):
    whole = market_step(depth)
    return in_float64(Step({task: whole.batches[task] for task in TASKS}))


@pytest.mark.parametrize("rung", LADDER)
def test_every_rung_of_the_ladder_keeps_the_contract_and_learns(make, market_step, rung):
    model, step = make(**LADDER[rung]), some_labels(market_step)
    check_model(model, step)
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam(model.train().parameters(), 1e-2)
    first = None
    for _ in range(12):
        model.observe(step)
        logits = model(step).logits
        loss = sum(
            per_example_loss(model.tasks[name].kind, logits[name], step.batches[name].label).mean()
            for name in TASKS
        )
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.9 * first
    assert not [name for name, p in model.named_parameters() if torch.equal(p, before[name])]


def test_mix_equals_the_equations(make):
    model = make(maps=("raw", "square", "sin", "cos"))
    part = model.sharing
    tokens = H.view(9, 2, 2)
    attended = part.attention(tokens)

    def selected(selection):
        gate = torch.sigmoid(selection.gate)
        return gate * attended + (1 - gate) * tokens

    z = selected(part.experts.selection).flatten(1)
    experts = []
    for k in range(3):
        e = z
        for layer in part.experts.dnns:
            e = F.leaky_relu(e @ layer.weight[k] + layer.bias[k], 0.1)
        experts.append(e)
    for task, found in model.mix(H).items():
        own = model.private[task]
        blocks = []
        for k, e in enumerate(experts):
            maps = (e, torch.tanh(e) ** 2, torch.sin(e), torch.cos(e))
            blocks += [own.gates[4 * k + p] * f for p, f in enumerate(maps)]
        fields = selected(own.experts.selection)
        blocks += [expert(fields) for expert in own.experts.others]
        torch.testing.assert_close(found, torch.cat(blocks, 1), rtol=0, atol=1e-12)


def test_the_logit_is_the_sum_of_public_and_private(make, market_step):
    model, step = make(tasks=("spend",)), market_step(2)
    batch = in_float64(Step({"spend": step.batches["spend"]})).batches["spend"]
    representations = model.encode(batch.view)
    (linear,) = model.towers["spend"].mlp
    public = 3 * 2 * 5
    pub = representations["spend"][:, :public] @ linear.weight[0, :public]
    pri = representations["spend"][:, public:] @ linear.weight[0, public:]
    expected = (pub + pri + linear.bias)[batch.entity]
    torch.testing.assert_close(model.score(representations, batch), expected)


def test_the_experts_alone_are_those_of_mmoe(make, make_tiny):
    """A tower that weighs all experts alike reads the sum of the blocks: MMoE's mixture."""
    model = make(**PLAIN, gates="mapping", layers=1)
    mmoe = make_tiny("mmoe", "gcn", TASKS).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        mmoe.sharing.weight.copy_(model.sharing.experts.dnns[0].weight)
        mmoe.sharing.bias.copy_(model.sharing.experts.dnns[0].bias)
        for task in TASKS:
            gates = model.private[task].gates.linear
            gates.weight.copy_(torch.randn(gates.weight.shape, generator=generator))
            mmoe.private[task].linear.load_state_dict(gates.state_dict())
    for task, expected in mmoe.mix(H).items():
        found = model.mix(H)[task].view(9, 3, 5).sum(1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_one_expert_of_one_task_is_the_bottom_of_the_twin(make, make_tiny):
    model = make(tasks=("click",), **PLAIN, public=("dnn",), layers=1)
    twin = make_tiny("single_task", "gcn", ("click",)).double()
    with torch.no_grad():
        model.private["click"].gates.fill_(1.0)
        twin.sharing[0].weight.copy_(model.sharing.experts.dnns[0].weight[0].T)
        twin.sharing[0].bias.copy_(model.sharing.experts.dnns[0].bias[0])
    torch.testing.assert_close(model.mix(H)["click"], twin.mix(H)["click"])


def gradients(model, step):
    output = model(step)
    loss = sum(
        per_example_loss(model.tasks[name].kind, output.logits[name], batch.label).mean()
        for name, batch in step.batches.items()
    )
    found = torch.autograd.grad(loss, list(model.parameters()))
    return output.logits, dict(zip(dict(model.named_parameters()), found, strict=True))


def correlation_of_labels(step, kind):
    """Of clicks and purchases of the same pairs; topics are of items, with no row in common."""
    click, buy = (step.batches[task] for task in TASKS[:2])
    assert torch.equal(click.entity, buy.entity)
    x, y = click.label.double().numpy(), buy.label.double().numpy()
    found = np.zeros((3, 3))
    found[0, 1] = found[1, 0] = {
        "pearson": abs(np.corrcoef(x, y)[0, 1]),
        "cosine": abs(x @ y) / np.linalg.norm(x) / np.linalg.norm(y),
    }[kind]
    return torch.from_numpy(found)


@pytest.mark.parametrize("form", VIRTUAL)
def test_training_multiplies_the_gradient_of_gates_and_nothing_else(make, market_step, form):
    chosen = {**VIRTUAL[form], "memory": 0}
    model, step = make(virtual=chosen), some_labels(market_step)
    model.observe(step)
    gates = torch.stack([model.private[task].gates for task in TASKS])
    correlation = correlation_of_labels(step, chosen["correlation"])
    assert 0.1 < correlation[0, 1] < 0.9
    gamma = coefficients(gates, correlation, VirtualGradientSettings(**chosen))
    assert ((gamma - 1).abs() > 0.1).any(1).all()
    plain_logits, plain = gradients(model, step)
    model.encoder.dropout = 0.0
    logits, virtual = gradients(model.train(), step)
    for task in TASKS:
        assert torch.equal(logits[task], plain_logits[task])
    gates_of = {f"private.[{task}].gates": gamma[t] for t, task in enumerate(TASKS)}
    assert all(plain[name].all() for name in gates_of)
    for name, gradient in plain.items():
        factor = gates_of.get(name, 1.0)
        torch.testing.assert_close(virtual[name], factor * gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["free", "mapping"])
def test_gates_begin_at_one_over_the_number_of_maps(make_tiny, kind):
    """K public experts, P maps of each: 1 / (K P)."""
    maps, virtual = ("raw", "square", "sin"), {} if kind == "free" else None
    dephn = {"fields": 2, "public": ("dnn", "cross"), "maps": maps, "gates": kind}
    sharing = SharingSettings(dephn={**dephn, "virtual": virtual})
    model = make_tiny("dephn", "gcn", TASKS, **dict(sharing)).eval()
    found = model.gates(H.float())
    assert set(found) == set(TASKS)
    for gates in found.values():
        assert gates.shape == ((6,) if kind == "free" else (9, 6))
        torch.testing.assert_close(gates, torch.full_like(gates, 1 / 6), rtol=0, atol=1e-7)


def test_one_task_has_plain_gradients(make, market_step):
    model = make(tasks=("click",))
    step = in_float64(Step({"click": market_step(2).batches["click"]}))
    model.observe(step)
    model.encoder.dropout = 0.0
    plain, virtual = gradients(model, step)[1], gradients(model.train(), step)[1]
    assert all(torch.equal(virtual[name], gradient) for name, gradient in plain.items())


def test_the_running_correlation_is_part_of_the_state(make, market_step):
    model, step = make(), some_labels(market_step)
    model.observe(step)
    other = make()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.correlation(), model.correlation())
    assert other.correlation().any()


def test_groups(make):
    groups = make().parameter_groups()
    last = {"sharing.experts.selection.gate", "sharing.experts.dnns.2.weight"}
    assert last < set(groups["last_shared"])
    assert "sharing.attention.key.weight" in groups["shared"]
    assert "private.[buy].gates" in groups["tower:buy"]


def test_the_order_of_tasks_does_not_matter(make, market_step):
    model, step = make(), some_labels(market_step)
    other = make(tasks=TASKS[::-1])
    model.observe(step)
    other.observe(step)
    other.load_state_dict({**model.state_dict(), "correlation.sums": other.correlation.sums})
    for one in (model, other):
        one.encoder.dropout = 0.0
    found, expected = gradients(other.train(), step)[1], gradients(model.train(), step)[1]
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)


def test_fields_of_an_encoder_are_its_own(make):
    model = make(encoder="fields", fields=8)
    assert model.fields == model.encoder.fields == 2
    assert model.encoder.width == 2 * 8


def test_a_representation_that_does_not_divide_is_filled_up(make):
    model, plain = make(fields=3, selection=False), make(fields=2, selection=False)
    assert (model.fields, model.e) == (3, 2)
    tokens = F.pad(H, (0, 2)).view(9, 3, 2)
    expected = torch.cat(model.sharing.experts(tokens, None), 1)
    gates = {"click": torch.ones_like(model.private["click"].gates)}
    model.gates = lambda h: gates
    found = model.mix(H)["click"][:, :30].view(9, 3, 2, 5)
    torch.testing.assert_close(found[:, :, 0].flatten(1), expected)
    assert plain.e == 2


def test_faults(make):
    with pytest.raises(UserError, match=r"field_width: 3 is not a multiple of 2"):
        make(encoder="fields", field_width=3)
    with pytest.raises(ValidationError, match="with mapping set virtual: null"):
        SharingSettings(dephn={"gates": "mapping"})
    with pytest.raises(ValidationError, match="public"):
        SharingSettings(dephn={"public": []})
