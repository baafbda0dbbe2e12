import pytest
import torch
from torch.nn import functional as F

from counterpoint.models.contract import Step
from counterpoint.nn.hard_concrete import HardConcrete

H = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TASKS = ("click", "buy", "topic")
OPEN, SHUT = 30.0, -30.0


@pytest.fixture
def model(make_tiny):
    torch.manual_seed(0)
    return make_tiny("snr", "gcn", TASKS).double().eval()


def set_gates(model, log_a):
    for module in model.modules():
        if isinstance(module, HardConcrete):
            torch.nn.init.constant_(module.log_a, log_a)


def test_routing_equals_a_loop_over_connections(model):
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, HardConcrete):
            module.log_a.data = torch.randn(module.log_a.shape, generator=generator).double()
    below, level = model.sharing
    u, z, weight = below(H), level.routing.gates(), level.routing.weight
    above = [
        F.leaky_relu(sum(z[i, j] * u[:, i] @ weight[i, j] for i in range(3)) + level.bias[j], 0.1)
        for j in range(3)
    ]
    for task, found in model.mix(H).items():
        routing = model.private[task]
        z, weight = routing.gates(), routing.weight
        expected = sum(z[i, 0] * above[i] @ weight[i, 0] for i in range(3))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_shut_gates_let_nothing_through(model):
    set_gates(model, SHUT)
    assert not any(found.any() for found in model.mix(H).values())


def test_one_open_identity_connection_is_a_shared_bottom(make_tiny):
    snr = make_tiny("snr", "gcn", TASKS, levels=1, experts=1).double().eval()
    set_gates(snr, OPEN)
    with torch.no_grad():
        for task in TASKS:
            snr.private[task].weight.copy_(torch.eye(5))
    bottom = make_tiny("shared_bottom", "gcn", TASKS).double()
    state = {name: value for name, value in snr.state_dict().items() if "private" not in name}
    state["sharing.0.weight"] = state["sharing.0.weight"][0].T
    state["sharing.0.bias"] = state["sharing.0.bias"][0]
    bottom.load_state_dict(state)
    for task, expected in bottom.mix(H).items():
        torch.testing.assert_close(snr.mix(H)[task], expected, rtol=0, atol=1e-12)


def test_the_penalty_is_the_expected_number_of_open_connections(model):
    connections = 3 * 3 + 3 * len(TASKS)
    for log_a, number in ((OPEN, connections), (SHUT, 0)):
        set_gates(model, log_a)
        penalty = model.penalties(model.mix(H), {})["open_gates"].item()
        assert penalty == pytest.approx(1e-4 * number)


def test_the_penalty_shuts_gates_and_comes_with_the_logits(model, market_step):
    step = Step({task: market_step(2).batches[task] for task in TASKS})
    penalty = model.float()(step).penalties["open_gates"]
    penalty.backward()
    gates = [module for module in model.modules() if isinstance(module, HardConcrete)]
    assert all((gate.log_a.grad > 0).all() for gate in gates)


def test_training_draws_gates_and_evaluation_does_not(model):
    assert torch.equal(model.mix(H)["buy"], model.mix(H)["buy"])
    model.train()
    torch.manual_seed(3)
    first = model.mix(H)["buy"]
    assert not torch.equal(model.mix(H)["buy"], first)
    torch.manual_seed(3)
    assert torch.equal(model.mix(H)["buy"], first)


def test_groups(model):
    groups = model.parameter_groups()
    names = [f"sharing.1.{name}" for name in ("bias", "routing.weight", "routing.gates.log_a")]
    assert groups["last_shared"] == names
    own = ["private.[buy].weight", "private.[buy].gates.log_a"]
    assert [name for name in groups["tower:buy"] if "private" in name] == own


def test_the_order_of_tasks_does_not_matter(model, make_tiny):
    other = make_tiny("snr", "gcn", TASKS[::-1]).double().eval()
    other.load_state_dict(model.state_dict())
    for task, expected in model.mix(H).items():
        assert torch.equal(other.mix(H)[task], expected)
