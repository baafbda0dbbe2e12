"""The bridge against torchjd by hand on the explicit Jacobian, and what the bridge adds to it."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torchjd import aggregation

from counterpoint.weighting import WEIGHTINGS, Losses, make_weighting
from counterpoint.weighting.aggregators import AGGREGATORS
from counterpoint.weighting.checks import check_weighting

TASKS = ("c", "a", "d", "b")
BY_HAND = {
    "pcgrad": aggregation.PCGrad,
    "cagrad": lambda: aggregation.CAGrad(c=0.4),
    "mgda": aggregation.MGDA,
    "upgrad": aggregation.UPGrad,
    "dual_proj": aggregation.DualProj,
    "imtl_g": aggregation.IMTLG,
    "aligned_mtl": aggregation.AlignedMTL,
    "conflict_free": aggregation.ConFIG,
    "fair_grad": lambda: aggregation.FairGrad(alpha=1.0),
}


@pytest.fixture(params=AGGREGATORS)
def name(request):
    return request.param


def made(name, tasks=TASKS, **settings):
    torch.manual_seed(0)
    return make_weighting(name, tasks, tasks[:1], settings).double()


@pytest.fixture
def problem(make_problem, draw):
    """Four tasks, of which a pulls against c: its label is the opposite."""
    labels = {task: 3 * draw(7, seed=k) for k, task in enumerate(TASKS)}
    return make_problem({**labels, "a": -labels["c"]}, draw(7, 3))


def jacobian(problem, tasks):
    shared = [problem.parameters[name] for name in problem.groups["shared"]]
    means = problem.losses(problem.parameters).means()
    rows = [torch.autograd.grad(means[task], shared, retain_graph=True) for task in tasks]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def shared_gradient(problem):
    return torch.cat([problem.parameters[n].grad.flatten() for n in problem.groups["shared"]])


def scaled(problem, factor):
    def losses(at):
        found = problem.losses(at).per_example
        return Losses({task: factor * loss for task, loss in found.items()})

    return replace(problem, losses=losses)


def test_the_table_has_all_of_them():
    assert set(BY_HAND) == set(AGGREGATORS)
    assert set(AGGREGATORS) <= set(WEIGHTINGS)


def test_against_torchjd_by_hand(problem, name):
    weighting = made(name)
    seed = int(weighting.seed)
    decision = weighting.fill_gradients(problem)
    rows = jacobian(problem, sorted(TASKS))
    assert (rows @ rows.T).min() < 0  # else there is nothing to resolve
    aggregator = BY_HAND[name]()
    torch.manual_seed(seed)
    expected = aggregator(rows)
    torch.testing.assert_close(shared_gradient(problem), expected, rtol=1e-4, atol=1e-6)
    assert decision.weights == dict.fromkeys(TASKS, 1.0)
    if name == "conflict_free":  # no weighted sum
        assert decision.diagnostics == {}
        return
    weights = [decision.diagnostics[f"shared_weight/{task}"] for task in sorted(TASKS)]
    again = torch.tensor(weights, dtype=rows.dtype) @ rows
    torch.testing.assert_close(shared_gradient(problem), again)


def test_towers_follow_their_own_task(problem, name):
    made(name).fill_gradients(problem)
    for task, mean in problem.losses(problem.parameters).means().items():
        tower = problem.parameters[f"tower.{task}"]
        (expected,) = torch.autograd.grad(mean, tower, retain_graph=True)
        torch.testing.assert_close(tower.grad, expected)


@pytest.mark.parametrize("factor", [1e-6, 1e3])
def test_small_gradients_are_gradients(problem, name, factor):
    made(name).fill_gradients(problem)
    expected = shared_gradient(problem)
    made(name).fill_gradients(scaled(problem, factor))
    degree = 0 if name == "fair_grad" else 1
    found = shared_gradient(problem) / factor**degree
    assert expected.norm() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fair_grad_solves_its_equation_at_any_size(problem, alpha):
    small = scaled(problem, 1e-3)
    decision = made("fair_grad", alpha=alpha).fill_gradients(small)
    rows = jacobian(small, sorted(TASKS))
    weights = [decision.diagnostics[f"shared_weight/{task}"] for task in sorted(TASKS)]
    w = torch.tensor(weights, dtype=rows.dtype)
    torch.testing.assert_close(rows @ rows.T @ w, w ** (-1 / alpha), rtol=1e-4, atol=0)


def test_a_task_without_rows_is_left_out(problem, name):
    def losses(at):
        found = problem.losses(at).per_example
        return Losses({**found, "b": found["b"][:0]})

    weighting = made(name)
    seed = int(weighting.seed)
    decision = weighting.fill_gradients(replace(problem, losses=losses))
    torch.manual_seed(seed)
    expected = BY_HAND[name]()(jacobian(problem, ("a", "c", "d")))
    torch.testing.assert_close(shared_gradient(problem), expected, rtol=1e-4, atol=1e-6)
    assert decision.diagnostics.get("shared_weight/b", 0.0) == 0.0


def test_one_gradient_is_taken_as_it_is(make_problem, draw, name):
    problem = make_problem({"a": draw(5)}, draw(5, 3))
    made(name, ("a",)).fill_gradients(problem)
    torch.testing.assert_close(shared_gradient(problem), jacobian(problem, ("a",))[0])


def test_a_random_aggregator_goes_by_its_seed_and_step_alone(problem):
    def trace(weighting, noise):
        found = []
        for step in range(4):
            torch.manual_seed(noise + step)
            weighting.fill_gradients(problem)
            found.append(shared_gradient(problem))
        return found

    first, second = trace(made("pcgrad"), 0), trace(made("pcgrad"), 100)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not torch.equal(first[0], other) for other in first[1:])  # the orders are drawn
    random = torch.get_rng_state()
    weighting = made("pcgrad")
    torch.set_rng_state(random)
    weighting.fill_gradients(problem)
    assert torch.equal(torch.get_rng_state(), random)


def test_torchjd_is_imported_when_it_is_used():
    code = "import sys, counterpoint.weighting; print('torchjd' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
def test_keeps_the_contract(name, targets):
    check_weighting(lambda *names: make_weighting(name, *names, {}), targets=targets)
