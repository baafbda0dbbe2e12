import pytest
import torch

from counterpoint.models.contract import Step
from counterpoint.models.inner_product import CollaborativeFilter
from counterpoint.models.shared_bottom import SharedBottom


@pytest.mark.parametrize("encoder", ["lightgcn", "ngcf"])
def test_a_twin_scores_pairs_by_the_encoders_output_alone(make_tiny, market_step, encoder):
    twin = make_tiny("single_task", encoder, ("click",)).eval()
    with torch.no_grad():
        twin.towers["click"].level.fill_(0.3)
    batch = market_step(2).batches["click"]
    h = twin.encoder(batch.view)
    u, i = batch.entity.unbind(1)
    expected = (h[u] * h[i]).sum(1) + 0.3
    torch.testing.assert_close(twin(Step({"click": batch})).logits["click"], expected)
    above = [name for name, _ in twin.named_parameters() if not name.startswith("encoder.")]
    assert above == ["towers.[click].level"]


def test_it_is_symmetric_in_the_ends_of_a_pair(make_tiny, market_step):
    twin = make_tiny("single_task", "lightgcn", ("click",)).eval()
    batch = market_step(2).batches["click"]
    h = twin.encode(batch.view)["click"]
    u, i = (h[rows] for rows in batch.entity.unbind(1))
    tower = twin.towers["click"]
    torch.testing.assert_close(tower(u, i), tower(i, u))


@pytest.mark.parametrize(
    ("architecture", "encoder", "task", "expected"),
    [
        ("single_task", "lightgcn", "click", CollaborativeFilter),
        ("single_task", "lightgcn", "topic", SharedBottom),  # of nodes: nothing to multiply
        ("single_task", "gcn", "click", SharedBottom),
        ("shared_bottom", "lightgcn", "click", SharedBottom),
    ],
)
def test_where_it_stands(make_tiny, architecture, encoder, task, expected):
    assert type(make_tiny(architecture, encoder, (task,))) is expected


def test_groups(make_tiny):
    groups = make_tiny("single_task", "lightgcn", ("click",)).parameter_groups()
    assert groups["tower:click"] == ["towers.[click].level"]
    assert groups["last_shared"] == groups["shared"]  # the ids are all that it learns
    assert all(name.startswith("encoder.input.") for name in groups["shared"])
