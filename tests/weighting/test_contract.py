import pytest
import torch

from counterpoint.training.checkpoint import read_checkpoint, write_checkpoint
from counterpoint.weighting import WEIGHTINGS, Losses, make_weighting
from counterpoint.weighting.contract import set_gradients


def test_means_of_losses():
    losses = Losses({"a": torch.tensor([1.0, 2.0, 6.0]), "none": torch.zeros(0)})
    assert losses.means() == {"a": torch.tensor(3.0), "none": torch.tensor(0.0)}


def test_weighted_sum_leaves_the_penalty_as_it_is():
    losses = Losses({"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([5.0])}, penalty=0.5)
    assert losses.weighted_sum({"a": 10.0, "b": 0.1}) == pytest.approx(21.0)


def test_gradients_are_reduced_and_zero_where_nothing_reaches(make_problem, draw):
    problem = make_problem({"a": draw(5), "b": draw(5, seed=1)}, draw(5, 3))
    halved = type(problem)(**{**vars(problem), "reduce": lambda value: value / 2})
    loss = problem.losses(problem.parameters).means()["a"]
    expected = torch.autograd.grad(loss, problem.parameters["shared.bias"], retain_graph=True)[0]
    set_gradients(halved, loss)
    assert torch.equal(problem.parameters["shared.bias"].grad, expected / 2)
    assert torch.equal(problem.parameters["tower.b"].grad, torch.zeros(6).double())


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_state_survives_a_checkpoint_file(make_problem, draw, tmp_path, name):
    problem = make_problem({"a": draw(5), "b": draw(5, seed=1)}, draw(5, 3))
    kept, resumed = (make_weighting(name, ("a", "b"), ("a",), {}) for _ in range(2))
    for _ in range(3):
        kept.fill_gradients(problem)
    write_checkpoint(tmp_path / "state", {"weighting": kept.state_dict()})
    resumed.load_state_dict(read_checkpoint(tmp_path / "state")["weighting"])
    for _ in range(2):
        first = kept.fill_gradients(problem)
        expected = {n: p.grad for n, p in problem.parameters.items()}
        assert resumed.fill_gradients(problem) == first
        for n, parameter in problem.parameters.items():
            assert torch.equal(parameter.grad, expected[n])
