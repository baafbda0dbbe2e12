import pytest
import torch

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.models import SharingSettings
from counterpoint.models.contract import Step
from counterpoint.models.esmm import ESMM

TASKS = ("click", "buy", "topic")
SETTINGS = SharingSettings(width=4, tower_width=4)


@pytest.fixture
def model(make_tiny):
    torch.manual_seed(0)
    return make_tiny("esmm", "gcn", TASKS).eval()


@pytest.fixture
def step(market_step):
    whole = market_step(2)
    return Step({task: whole.batches[task] for task in TASKS})


def test_the_childs_probability_is_a_product(model, step):
    logits = model(step).logits
    batch = step.batches["buy"]
    h = model.encode(batch.view)
    src, dst = batch.entity.unbind(1)
    p_click, p_tower = (
        torch.sigmoid(model.towers[task](h[task][src], h[task][dst])) for task in ("click", "buy")
    )
    torch.testing.assert_close(torch.sigmoid(logits["buy"]), p_click * p_tower)
    assert (torch.sigmoid(logits["buy"]) < p_click).all()


def test_without_the_product_it_is_a_shared_bottom(model, step, make_tiny):
    bottom = make_tiny("shared_bottom", "gcn", TASKS).eval()
    bottom.load_state_dict(model.state_dict())
    found, expected = model(step).logits, bottom(step).logits
    torch.testing.assert_close(found["click"], expected["click"])
    torch.testing.assert_close(found["topic"], expected["topic"])
    with torch.no_grad():  # whoever is certain to click buys as the tower says
        for side in ("src", "dst"):
            tower = getattr(model.towers["click"], side)
            tower[2].weight.zero_()
            tower[2].bias.copy_(torch.tensor([0.0] * model.towers["click"].width + [50.0]))
    torch.testing.assert_close(model(step).logits["buy"], expected["buy"])


def test_the_parents_tower_is_shared(model):
    groups = model.parameter_groups()
    assert groups["tower:click"] == []
    assert any(name.startswith("towers.[click]") for name in groups["shared"])
    assert all(name.startswith("towers.[buy]") for name in groups["tower:buy"])
    assert groups["last_shared"] == ["sharing.0.weight", "sharing.0.bias"]


def test_a_chain_of_three_multiplies_three(make_tiny):
    model = make_tiny("esmm", "gcn", TASKS)
    kinds = {"kind": TaskKind.BINARY, "entity": "user"}
    tasks = {
        "buy": Task(**kinds, parent="cart"),
        "cart": Task(**kinds, parent="click"),
        "click": Task(**kinds),
    }
    chain = ESMM(model.encoder, tasks, SETTINGS)
    assert [chain.condition(task) for task in tasks] == ["cart", "click", None]
    assert [len(chain.owned(task)) for task in tasks] == [1, 0, 0]


@pytest.mark.parametrize("tasks", [("click", "topic"), ("buy",), ("visit", "spend")])
def test_tasks_without_a_funnel_are_refused(make_tiny, tasks):
    with pytest.raises(UserError, match="esmm needs a funnel, and no binary task has a binary"):
        make_tiny("esmm", "gcn", tasks)


def test_links_are_no_part_of_a_funnel(model):
    pair = {"kind": TaskKind.LINK, "entity": ("user", "item")}
    tasks = {**model.tasks, "seen": Task(**pair), "like": Task(**pair, parent="seen")}
    assert ESMM(model.encoder, tasks, SETTINGS).condition("like") is None
