"""What AUX-TS must lead to; test_learned.py has its derivatives against double backward."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from counterpoint.weighting.aux_ts import AuxTS, AuxTSSettings
from counterpoint.weighting.checks import check_weighting
from counterpoint.weighting.fixed import Fixed, FixedSettings

TASKS = ("a", "b", "c")
RATE = 0.05


def made(tasks=TASKS, targets=("a",), **settings) -> AuxTS:
    torch.manual_seed(0)
    return AuxTS(tasks, targets, AuxTSSettings(**{"hidden": 16, **settings})).double()


def task_labels(draw, rows, seed):
    return {task: draw(rows, seed=seed + k) for k, task in enumerate(TASKS)}


def test_the_network_learns(make_problem, draw):
    problem = make_problem(task_labels(draw, 8, 20), draw(8, 3, seed=10))
    weighting = made()
    before = [parameter.detach().clone() for parameter in weighting.network.parameters()]
    weighting.fill_gradients(problem)
    for parameter, was in zip(weighting.network.parameters(), before, strict=True):
        assert parameter.grad.norm() > 0
        assert not torch.equal(parameter, was)


@pytest.mark.parametrize("normalise", ["none", "sum_to_T"])
def test_real_gradient_is_the_weighted_sum_with_the_new_weights(make_problem, draw, normalise):
    problem = make_problem(task_labels(draw, 8, 20), draw(8, 3, seed=10))
    weighting = made(normalise=normalise)
    still = made(normalise=normalise, learning_rate=1e-30).fill_gradients(problem)
    decision = weighting.fill_gradients(problem)
    for task, before in still.weights.items():
        assert abs(decision.weights[task] - before) > 1e-4
    if normalise == "sum_to_T":
        assert sum(decision.weights.values()) == pytest.approx(3)
    means = problem.losses(problem.parameters).means()
    total = sum(decision.weights[task] * means[task] for task in TASKS)
    expected = torch.autograd.grad(total, list(problem.parameters.values()))
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


def test_a_duplicate_of_the_target_counts_as_the_target(make_problem, draw):
    label = draw(8, seed=20)
    labels = {"a": label, "copy": label, "other": draw(8, seed=21)}
    problem = make_problem(labels, draw(8, 3, seed=10), towers=False)
    found = made(("a", "copy", "other")).fill_gradients(problem).diagnostics
    assert found["cosine/copy~a"] == pytest.approx(1, abs=1e-12)
    assert found["meta_derivative/copy"] == pytest.approx(found["meta_derivative/a"], rel=1e-12)
    assert found["meta_derivative/other"] != pytest.approx(found["meta_derivative/a"])
    assert found["agreement/copy~a"] == 1


def test_the_opposite_of_the_target_loses_weight(make_problem, draw):
    labels = {"a": draw(8, seed=20), "against": draw(8, seed=20)}
    problem = make_problem(
        labels, draw(8, 3, seed=10), towers=False, scale={"against": -1.0}, rate=0.001
    )
    weighting = made(("a", "against"), learning_rate=1e-2)
    history = [weighting.fill_gradients(problem) for _ in range(30)]
    assert history[0].diagnostics["cosine/against~a"] == pytest.approx(-1, abs=1e-12)
    assert history[0].diagnostics["meta_derivative/against"] > 0
    assert history[0].diagnostics["agreement/against~a"] == 1
    weights = [decision.weights["against"] for decision in history]
    assert all(later < earlier for earlier, later in pairwise(weights))
    assert weights[-1] < 0.2
    assert history[-1].weights["a"] > 1.8


def test_more_weight_can_help_though_gradients_disagree(make_problem, draw):
    labels = {"a": draw(8, seed=20), "other": draw(8, seed=21)}
    meta = draw(6, 3, seed=30), {"a": draw(6, seed=40), "other": draw(6, seed=41)}
    seen = set()
    for rate in (0.01, 10.0):  # after a long step the target's gradient is another
        problem = make_problem(labels, draw(8, 3, seed=10), meta=meta, towers=False, rate=rate)
        found = made(("a", "other"), meta_batch="next").fill_gradients(problem).diagnostics
        agree = (found["meta_derivative/other"] < 0) == (found["cosine/other~a"] > 0)
        assert found["agreement/other~a"] == float(agree)
        seen.add(agree)
    assert seen == {True, False}


def test_scaling_a_loss_leaves_the_cosines(make_problem, draw):
    labels, x = task_labels(draw, 8, 20), draw(8, 3, seed=10)
    plain, scaled = (
        made(similarities="all").fill_gradients(make_problem(labels, x, scale=scale)).diagnostics
        for scale in (None, {"b": 5.0})
    )
    assert {name for name in plain if name.startswith("cosine/")} == {"cosine/b~a", "cosine/c~a"}
    for name in ("cosine/b~a", "cosine/c~a"):
        assert scaled[name] == pytest.approx(plain[name], abs=1e-12)


def test_a_constant_network_is_the_plain_sum(make_problem, draw):
    labels, x = task_labels(draw, 8, 20), draw(8, 3, seed=10)
    problem, fixed = make_problem(labels, x), make_problem(labels, x)
    weighting = made(learning_rate=1e-30)
    torch.nn.init.zeros_(weighting.network[2].weight)
    weighting.fill_gradients(problem)
    Fixed(TASKS, ("a",), FixedSettings()).fill_gradients(fixed)
    for name, parameter in problem.parameters.items():
        torch.testing.assert_close(parameter.grad, fixed.parameters[name].grad, rtol=0, atol=1e-12)


def test_a_random_auxiliary_ends_below_a_helpful_one(make_problem, draw):
    """The helpful one has the target's labels with noise of its own, the other chance alone."""
    truth, tasks = draw(3, seed=50), ("a", "helpful", "random")

    def batch(seed):
        x = draw(64, 3, seed=seed)
        y = (x @ truth).tanh()
        noise = {task: draw(64, seed=seed + 1000 * k) for k, task in enumerate(tasks, start=1)}
        labels = {"a": y + 0.5 * noise["a"], "helpful": y + 0.5 * noise["helpful"]}
        return x, {**labels, "random": 2 * noise["random"]}

    weighting, values, history = made(tasks, learning_rate=1e-2), {}, []
    for step in range(80):
        (x, labels), meta = batch(2 * step), batch(2 * step + 1)
        problem = make_problem(labels, x, meta=meta, rate=RATE)
        for name, value in values.items():
            problem.parameters[name].data.copy_(value)
        history.append(weighting.fill_gradients(problem).weights)
        values = {name: (p - RATE * p.grad).detach() for name, p in problem.parameters.items()}
    ends = {task: sum(weights[task] for weights in history[-20:]) / 20 for task in tasks}
    assert ends["random"] < 0.8 * ends["helpful"]
    assert ends["random"] < ends["a"]


def test_a_target_without_rows_at_first_is_scaled_by_its_first_real_loss(make_problem, draw):
    """Else its part of the meta-loss is divided by nothing, and rules alone ever after."""
    problem = make_problem(task_labels(draw, 8, 20), draw(8, 3, seed=10))
    weighting = made(targets=("a", "c"))

    def without(parameters):
        found = problem.losses(parameters)
        return replace(found, per_example={**found.per_example, "c": found.per_example["c"][:0]})

    means = {t: float(x.detach()) for t, x in problem.losses(problem.parameters).means().items()}
    empty = weighting.fill_gradients(replace(problem, losses=without)).diagnostics
    assert abs(empty["meta_derivative/a"]) < 10
    assert weighting.initial.tolist() == pytest.approx([means["a"], 0])
    weighting.fill_gradients(problem)
    assert weighting.initial.tolist() == pytest.approx([means["a"], means["c"]])


@pytest.mark.parametrize("targets", [("target",), ("target", "noise")])
@pytest.mark.parametrize("similarities", ["one", "all"])
@pytest.mark.parametrize("normalise", ["none", "sum_to_T"])
def test_keeps_the_contract(reverse_aux_ts, targets, similarities, normalise):
    settings = AuxTSSettings(hidden=16, similarities=similarities, normalise=normalise)
    check_weighting(
        lambda tasks, targets: AuxTS(tasks, targets, settings),
        targets=targets,
        reorder=reverse_aux_ts,
    )
