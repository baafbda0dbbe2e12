import pytest
import torch

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.models.aitm import tasks_above
from counterpoint.models.contract import Step

H = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def tasks_named(**parents):
    return {
        name: Task(kind=TaskKind.BINARY, entity="user", parent=parent)
        for name, parent in parents.items()
    }


def test_tasks_above_are_parents_first_come_first():
    tasks = tasks_named(buy="cart", view=None, cart="click", click=None)
    above = tasks_above(tasks)
    assert above == {"view": None, "click": None, "cart": "click", "buy": "cart"}
    assert list(above) == ["view", "click", "cart", "buy"]


def test_without_parents_the_order_of_tasks_counts():
    assert tasks_above(tasks_named(a=None, b=None, c=None)) == {"a": None, "b": "a", "c": "b"}
    assert tasks_above(tasks_named(a="elsewhere")) == {"a": None}


def test_a_circle_is_refused():
    with pytest.raises(UserError, match="is above itself; remove one parent"):
        tasks_above(tasks_named(a="b", b="a"))


def test_a_child_attends_to_its_parent(make_tiny):
    model = make_tiny("aitm", "gcn").double().eval()
    found, part = model.mix(H), model.private["buy"]
    torch.testing.assert_close(found["click"], model.private["click"].network(H))
    transfer = part.transfer
    p, q = transfer.passed(found["click"]), part.network(H)
    scores = torch.stack(
        [(transfer.key(u) * transfer.query(u)).sum(1) / 5**0.5 for u in (p, q)], dim=1
    )
    weight = scores.exp() / scores.exp().sum(1, keepdim=True)
    expected = weight[:, :1] * transfer.value(p) + weight[:, 1:] * transfer.value(q)
    torch.testing.assert_close(found["buy"], expected, rtol=0, atol=1e-12)


def test_a_part_that_another_task_reads_is_shared(make_tiny):
    model = make_tiny("aitm", "gcn")
    groups = model.parameter_groups()
    assert not any("private" in name for name in groups["tower:click"])
    assert "private.[click].network.0.weight" in groups["shared"]
    assert "private.[buy].transfer.key.weight" in groups["tower:buy"]
    assert groups["last_shared"] == [
        name for name, _ in model.named_parameters() if name.startswith("encoder.layers.1.")
    ]
    bare = make_tiny("aitm", "mlp", layers=0)
    assert all(name.startswith("encoder.input.") for name in bare.parameter_groups()["last_shared"])


def test_one_task_is_the_twin(make_tiny, market_step):
    aitm, twin = (make_tiny(name, "gcn", ("click",)).eval() for name in ("aitm", "single_task"))
    twin.load_state_dict(
        {
            name.replace("private.[click].network.", "sharing."): value
            for name, value in aitm.state_dict().items()
        }
    )
    step = Step({"click": market_step(2).batches["click"]})
    torch.testing.assert_close(aitm(step).logits["click"], twin(step).logits["click"])


def test_the_order_of_tasks_in_a_funnel_does_not_matter(make_tiny):
    tasks = ("click", "buy", "topic")
    model, other = (make_tiny("aitm", "gcn", order).double() for order in (tasks, tasks[::-1]))
    other.load_state_dict(model.state_dict())
    for task, expected in model.mix(H).items():
        assert torch.equal(other.mix(H)[task], expected)
