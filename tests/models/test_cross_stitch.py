import pytest
import torch

H = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TASKS = ("click", "buy", "topic")


@pytest.fixture
def model(make_tiny):
    torch.manual_seed(0)
    return make_tiny("cross_stitch", "gcn", TASKS).double().eval()


def set_stitches(model, matrix):
    with torch.no_grad():
        for layer in model.sharing:
            layer.stitch.weight.copy_(matrix)


def test_stitches_start_near_the_identity(model, make_tiny):
    expected = torch.full((3, 3), 0.05).fill_diagonal_(0.9)
    for layer in model.sharing:
        torch.testing.assert_close(layer.stitch.weight.detach().float(), expected)
    alone = make_tiny("cross_stitch", "gcn", TASKS[:1])
    assert [layer.stitch.weight.item() for layer in alone.sharing] == [1, 1]


def test_identity_stitches_are_networks_of_their_own(model):
    set_stitches(model, torch.eye(3))
    found = model.mix(H)
    for place, task in enumerate(TASKS):
        h = H
        for layer in model.sharing:
            weight, bias = layer.networks.weight[place], layer.networks.bias[place]
            h = torch.nn.functional.leaky_relu(h @ weight + bias, 0.1)
        torch.testing.assert_close(found[task], h, rtol=0, atol=1e-12)


def test_one_level_with_identity_stitches_is_the_twins(make_tiny, market_step):
    joint = make_tiny("cross_stitch", "gcn", TASKS, levels=1).eval()
    set_stitches(joint, torch.eye(3))
    step = market_step(2)
    logits = joint(type(step)({task: step.batches[task] for task in TASKS})).logits
    state = joint.state_dict()
    for place, task in enumerate(TASKS):
        twin = make_tiny("single_task", "gcn", (task,)).eval()
        own = {name: state[name] for name in twin.state_dict() if name in state}
        own["sharing.0.weight"] = state["sharing.0.networks.weight"][place].T
        own["sharing.0.bias"] = state["sharing.0.networks.bias"][place]
        twin.load_state_dict(own)
        expected = twin(type(step)({task: step.batches[task]})).logits[task]
        torch.testing.assert_close(logits[task], expected)


def test_uniform_stitches_average(model):
    set_stitches(model, torch.full((3, 3), 1 / 3, dtype=torch.float64))
    below = model.sharing[0].networks(H).mean(1)
    average = model.sharing[1].networks(below).mean(1)
    for found in model.mix(H).values():
        torch.testing.assert_close(found, average, rtol=0, atol=1e-12)


def test_rows_of_a_stitch_are_the_tasks_that_read(model):
    with torch.no_grad():
        model.sharing[1].stitch.weight.copy_(torch.tensor([[0.0, 1, 0], [0, 1, 0], [2, 0, -1]]))
    outputs = model.sharing[1].networks(model.sharing[0](H))
    mixed = model.mix(H)
    torch.testing.assert_close(mixed["click"], outputs[:, 1])
    torch.testing.assert_close(mixed["topic"], 2 * outputs[:, 0] - outputs[:, 2])


def test_groups(model):
    groups = model.parameter_groups()
    names = [f"sharing.1.{name}" for name in ("networks.weight", "networks.bias", "stitch.weight")]
    assert groups["last_shared"] == names
    assert all(name.startswith("towers.") for name in groups["tower:topic"])


def test_the_order_of_tasks_does_not_matter(model, make_tiny):
    order = [2, 0, 1]
    other = make_tiny("cross_stitch", "gcn", tuple(TASKS[place] for place in order)).double()
    state = {
        name: value[order] if name.startswith("sharing") else value
        for name, value in model.state_dict().items()
    }
    for level in range(2):
        state[f"sharing.{level}.stitch.weight"] = state[f"sharing.{level}.stitch.weight"][:, order]
    other.load_state_dict(state)
    for task, expected in model.mix(H).items():
        torch.testing.assert_close(other.mix(H)[task], expected, rtol=0, atol=1e-12)
