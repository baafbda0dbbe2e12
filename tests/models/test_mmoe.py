import torch


def gates_of(model, task):
    return model.private[task].linear


def test_uniform_gates_average_the_experts(make_tiny, market_graph):
    model = make_tiny("mmoe", "gcn").double().eval()
    h = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    average = model.sharing(h).mean(1)
    for found in model.mix(h).values():
        torch.testing.assert_close(found, average, rtol=0, atol=1e-12)


def test_each_task_has_a_gate_of_its_own(make_tiny):
    model = make_tiny("mmoe", "mlp").double()
    h = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.nn.init.normal_(gates_of(model, "click").weight)
    expert = gates_of(model, "topic")
    with torch.no_grad():
        expert.bias.copy_(torch.tensor([-1e3, 1e3, -1e3]))
    mixed, outputs = model.mix(h), model.sharing(h)
    torch.testing.assert_close(mixed["topic"], outputs[:, 1])
    weights = (h @ gates_of(model, "click").weight.T).softmax(1)
    expected = sum(weights[:, k, None] * outputs[:, k] for k in range(3))
    torch.testing.assert_close(mixed["click"], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed["buy"], outputs.mean(1), rtol=0, atol=1e-12)


def test_one_expert_is_a_shared_bottom(make_tiny, market_step):
    mmoe = make_tiny("mmoe", "gcn", experts=1).double().eval()
    bottom = make_tiny("shared_bottom", "gcn").double().eval()
    state = {name: value for name, value in mmoe.state_dict().items() if "private" not in name}
    state["sharing.0.weight"] = state.pop("sharing.weight")[0].T
    state["sharing.0.bias"] = state.pop("sharing.bias")[0]
    bottom.load_state_dict(state)
    for task in mmoe.tasks:
        torch.nn.init.normal_(gates_of(mmoe, task).weight)
    h = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for task, expected in bottom.mix(h).items():
        torch.testing.assert_close(mmoe.mix(h)[task], expected, rtol=0, atol=1e-12)


def test_groups(make_tiny):
    groups = make_tiny("mmoe", "mlp").parameter_groups()
    assert groups["last_shared"] == ["sharing.weight", "sharing.bias"]
    gate = ["private.[topic].linear.weight", "private.[topic].linear.bias"]
    assert set(gate) < set(groups["tower:topic"])
    assert not set(gate) & set(groups["shared"])
