import torch

from counterpoint.data.schema import Task, TaskKind
from counterpoint.graph.store import GraphMeta, TypeMeta
from counterpoint.graph.views import TypeInput, View
from counterpoint.models import ARCHITECTURES, SharingSettings, make_model
from counterpoint.models.contract import Step, TaskBatch
from counterpoint.nn.encoders import EncoderSettings


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
        name: Task(kind=TaskKind.BINARY, entity="items") for name in ("v1.click", "type", "towers")
    }
    meta = GraphMeta(
        name="g",
        node_types=(items,),
        relations=(),
        tasks=tasks,
        cross_task="drop",
        candidates="all",
    )
    view = View({"items": TypeInput(torch.arange(3), None, None, {})}, None, torch.zeros(3), ())
    rows = torch.arange(3)
    step = Step({name: TaskBatch(name, view, rows, torch.zeros(3)) for name in tasks})
    for architecture in ARCHITECTURES:
        model = make_model(architecture, "mlp", meta, tasks, EncoderSettings(), SharingSettings())
        assert set(model(step).logits) == set(tasks)
        groups = model.parameter_groups()
        found = {name for task in tasks for name in groups[f"tower:{task}"]}
        assert found | set(groups["shared"]) == {name for name, _ in model.named_parameters()}
        assert all(groups[f"tower:{task}"] for task in tasks)
