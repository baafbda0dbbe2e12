import pytest
import torch

from counterpoint.models.contract import Step

H = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TASKS = ("click", "buy", "topic")


def random_gates(model):
    """Gates away from where they start, so that no two are the same."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gate" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.double().eval()


def loop_over_experts(model, h):
    """The paper's equations one expert, one task at a time."""
    paths = [h] * (len(model.tasks) + 1)
    for level in model.sharing:
        own = [
            [
                torch.nn.functional.leaky_relu(x @ weight + bias, 0.1)
                for weight, bias in zip(experts.weight, experts.bias, strict=True)
            ]
            for x, experts in zip(paths, [*level.own.children(), level.shared], strict=True)
        ]
        *own, shared = own
        mixed = [
            sum(
                g[:, None] * out for g, out in zip(gate(x).unbind(1), experts + shared, strict=True)
            )
            for x, gate, experts in zip(paths[:-1], level.gates.children(), own, strict=True)
        ]
        if level.shared_gate is not None:
            everything = [out for experts in [*own, shared] for out in experts]
            gates = level.shared_gate(paths[-1]).unbind(1)
            mixed.append(sum(g[:, None] * o for g, o in zip(gates, everything, strict=True)))
        paths = mixed
    return dict(zip(model.tasks, paths, strict=True))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_levels_equal_a_loop_over_experts(make_tiny, levels):
    model = make_tiny("ple", "mlp", TASKS, levels=levels, own_experts=2, shared_experts=3)
    expected = loop_over_experts(random_gates(model), H)
    for task, found in model.mix(H).items():
        torch.testing.assert_close(found, expected[task], rtol=0, atol=1e-12)


def test_one_level_without_own_experts_is_mmoe(make_tiny):
    ple = random_gates(make_tiny("ple", "gcn", levels=1, own_experts=0, shared_experts=3))
    mmoe = make_tiny("mmoe", "gcn", experts=3).double()
    renamed = {
        name.replace("sharing.0.shared.", "sharing.").replace("sharing.0.gates.", "private."): value
        for name, value in ple.state_dict().items()
    }
    mmoe.load_state_dict(renamed)
    for task, expected in mmoe.mix(H).items():
        torch.testing.assert_close(ple.mix(H)[task], expected, rtol=0, atol=1e-12)


def test_one_task_and_one_expert_is_the_twin(make_tiny, market_step):
    tasks = ("click",)
    ple = make_tiny("ple", "gcn", tasks, levels=1, own_experts=0, shared_experts=1).eval()
    twin = make_tiny("single_task", "gcn", tasks).eval()
    state = {name: value for name, value in ple.state_dict().items() if "gates" not in name}
    state["sharing.0.weight"] = state.pop("sharing.0.shared.weight")[0].T
    state["sharing.0.bias"] = state.pop("sharing.0.shared.bias")[0]
    twin.load_state_dict(state)
    step = Step({"click": market_step(2).batches["click"]})
    torch.testing.assert_close(ple(step).logits["click"], twin(step).logits["click"])


def test_a_task_does_not_read_the_own_experts_of_another(make_tiny):
    model = random_gates(make_tiny("ple", "mlp", TASKS, levels=1))
    before = model.mix(H)
    with torch.no_grad():
        model.sharing[0].own["buy"].weight.add_(1.0)
    after = model.mix(H)
    changed = {task for task in TASKS if not torch.equal(before[task], after[task])}
    assert changed == {"buy"}


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_groups_are_what_gradients_reach(make_tiny, levels):
    """Each task's group is exactly what its loss alone reaches."""
    model = random_gates(make_tiny("ple", "mlp", TASKS, levels=levels))
    parts = {name: p for name, p in model.named_parameters() if name.startswith("sharing")}
    reached = {name: set() for name in parts}
    for task, h in model.mix(H).items():
        gradients = torch.autograd.grad(
            h.square().sum(), list(parts.values()), retain_graph=True, materialize_grads=True
        )
        for name, gradient in zip(parts, gradients, strict=True):
            reached[name] |= {task} if gradient.any() else set()
    groups = model.parameter_groups()
    for task in TASKS:
        alone = {name for name in parts if reached[name] == {task}}
        assert alone == {name for name in groups[f"tower:{task}"] if name in parts}
    last = f"sharing.{levels - 1}.shared."
    assert groups["last_shared"] == [last + "weight", last + "bias"]


def test_the_order_of_tasks_does_not_matter(make_tiny):
    model = random_gates(make_tiny("ple", "mlp", TASKS))
    order = (2, 0, 1)
    other = make_tiny("ple", "mlp", tuple(TASKS[place] for place in order)).double()
    state = model.state_dict()
    for kind in ("weight", "bias"):  # the shared gate's rows are the experts, task by task
        name = f"sharing.0.shared_gate.linear.{kind}"
        state[name] = state[name][[*order, 3, 4]]
    other.load_state_dict(state)
    for task, expected in model.mix(H).items():
        torch.testing.assert_close(other.mix(H)[task], expected, rtol=0, atol=1e-12)
