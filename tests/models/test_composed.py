import pytest
import torch
from torch.func import functional_call

from counterpoint.data.schema import Task, TaskKind
from counterpoint.graph.ops import Csr
from counterpoint.graph.store import GraphMeta, TypeMeta
from counterpoint.graph.views import Block, TypeInput, View
from counterpoint.models import (
    ARCHITECTURES,
    SINGLE_TASK,
    SharingSettings,
    fitting_encoders,
    make_model,
)
from counterpoint.models.checks import in_float64
from counterpoint.models.contract import Step, TaskBatch, per_example_loss
from counterpoint.nn.encoders import EncoderSettings

TASKS = ("click", "buy", "topic")


@pytest.fixture(params=[name for name in ARCHITECTURES if name != SINGLE_TASK])
def joint(request, make_tiny):
    torch.manual_seed(1)
    encoder = "gcn" if "gcn" in fitting_encoders(request.param) else "hgn"
    return make_tiny(request.param, encoder, TASKS, tower_width=8, layers=1)


def losses_of(model, step, parameters):
    output = functional_call(model, parameters, (step,))
    means = [
        per_example_loss(model.tasks[name].kind, logits, step.batches[name].label).mean()
        for name, logits in output.logits.items()
    ]
    return torch.stack([*means, *output.penalties.values()])


def test_every_parameter_moves_in_training(joint, market_step):
    step = market_step(1)
    step = Step({task: step.batches[task] for task in TASKS})
    before = {name: parameter.clone() for name, parameter in joint.named_parameters()}
    optimizer = torch.optim.Adam(joint.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        losses_of(joint, step, {}).sum().backward()
        optimizer.step()
    still = [name for name, p in joint.named_parameters() if torch.equal(p, before[name])]
    assert not still


def test_gradients(joint, market_step):
    step = market_step(1, rows=3)
    step = in_float64(Step({task: step.batches[task] for task in TASKS}))
    model = joint.double().eval()
    names = [name for name, _ in model.named_parameters()]
    values = [p.detach().requires_grad_() for p in model.parameters()]

    def losses(*values):
        return losses_of(model, step, dict(zip(names, values, strict=True)))

    assert torch.autograd.gradcheck(losses, values, fast_mode=True)


def test_depth_is_that_of_the_encoder(make_tiny):
    assert make_tiny("shared_bottom", "gat").depth == 2
    assert make_tiny("mmoe", "mlp").depth == 0


def test_same_random_state_same_parameters(make_tiny):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(make_tiny("mmoe", "hgn").state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_users_names_are_no_danger():
    """A dot, or the name of an attribute of a module, in tasks and node types."""
    items = TypeMeta(name="items", count=3)
    tasks = {
        name: Task(kind=TaskKind.BINARY, entity="items", parent=parent)
        for name, parent in (("v1.click", None), ("type", "v1.click"), ("towers", None))
    }
    meta = GraphMeta(
        name="g",
        node_types=(items,),
        relations=(),
        tasks=tasks,
        cross_task="drop",
        candidates="all",
    )
    none, types = torch.zeros(0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    bare = Block(Csr(torch.zeros(4, dtype=torch.int64), none, 3), none, types, types)
    inputs = {"items": TypeInput(torch.arange(3), None, None, {})}
    view = View(inputs, None, types, (bare,) * 2)
    rows = torch.arange(3)
    step = Step({name: TaskBatch(name, view, rows, torch.zeros(3)) for name in tasks})
    for architecture in ARCHITECTURES:
        encoder = fitting_encoders(architecture)[0]
        model = make_model(architecture, encoder, meta, tasks, EncoderSettings(), SharingSettings())
        assert set(model(step).logits) == set(tasks)
        groups = model.parameter_groups()
        found = {name for task in tasks for name in groups[f"tower:{task}"]}
        assert found | set(groups["shared"]) == {name for name, _ in model.named_parameters()}
        assert groups["tower:type"]
        assert groups["tower:towers"]
