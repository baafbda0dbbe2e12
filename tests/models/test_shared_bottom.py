import torch
from torch.nn import functional as F

from counterpoint.models.contract import Step
from counterpoint.models.shared_bottom import SharedBottom


def test_every_task_reads_the_same_bottom(make_tiny, market_graph):
    model = make_tiny("shared_bottom", "gcn").eval()
    view = market_graph.view(model.depth)
    representations = model.encode(view)
    linear = model.sharing[0]
    expected = F.leaky_relu(F.linear(model.encoder(view), linear.weight, linear.bias), 0.1)
    assert set(representations) == set(market_graph.meta.tasks)
    for h in representations.values():
        torch.testing.assert_close(h, expected)


def test_groups(make_tiny):
    groups = make_tiny("shared_bottom", "mlp").parameter_groups()
    assert groups["last_shared"] == ["sharing.0.weight", "sharing.0.bias"]
    assert groups["tower:topic"] == [
        f"towers.[topic].mlp.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    ]


def test_the_twin_is_a_shared_bottom_with_one_task(make_tiny, market_step):
    twin, joint = make_tiny("single_task", "gcn", ("click",)), make_tiny("shared_bottom", "gcn")
    assert type(twin) is SharedBottom
    state = joint.state_dict()
    twin.load_state_dict({name: state[name] for name in twin.state_dict()})
    step = Step({"click": market_step(2).batches["click"]})
    expected = joint.eval()(step).logits["click"]
    torch.testing.assert_close(twin.eval()(step).logits["click"], expected)
