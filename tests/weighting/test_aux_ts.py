"""AUX-TS against double backward through an unrolled virtual step, and what it must lead to."""

from dataclasses import replace
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

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


def signals(weighting: AuxTS, problem) -> Tensor:
    """Inputs of V written out: loss, one-hot task, cosines of the shared gradients."""
    shared = [problem.parameters[name] for name in problem.groups["shared"]]
    means = problem.losses(problem.parameters).means()
    flat = {
        task: torch.cat(
            [g.flatten() for g in torch.autograd.grad(means[task], shared, retain_graph=True)]
        )
        for task in weighting.tasks
    }
    cosines = {
        task: [F.cosine_similarity(flat[task], flat[other], dim=0) for other in weighting.targets]
        for task in weighting.tasks
    }
    rows = []
    for place, task in enumerate(weighting.tasks):
        types = [float(place == other) for other in range(len(weighting.tasks))]
        if weighting.settings.similarities == "one":
            similar = cosines[task]
        else:
            similar = [value for every in weighting.tasks for value in cosines[every]]
        rows.append([float(means[task].detach()), *types, *map(float, similar)])
    return torch.tensor(rows, dtype=torch.float64)


def unrolled(weighting: AuxTS, problem, first: list[float]) -> tuple[Tensor, list[Tensor]]:
    """Derivatives of the meta-loss by the weights and by V's parameters, through the step."""
    z = signals(weighting, problem)
    w = weighting.network(z).squeeze(-1)
    if weighting.settings.normalise == "sum_to_T":
        w = len(w) * w / w.sum()
    means = problem.losses(problem.parameters).means()
    total = sum(weight * means[task] for weight, task in zip(w, weighting.tasks, strict=True))
    own = problem.parameters
    gradients = torch.autograd.grad(
        total, list(own.values()), create_graph=True, materialize_grads=True
    )
    rate = weighting.settings.virtual_rate or RATE
    moved = {name: own[name] - rate * g for name, g in zip(own, gradients, strict=True)}
    after = problem.meta_losses(moved).means()
    judged = sum(
        after[task] / (start if len(first) > 1 else 1.0)
        for task, start in zip(weighting.targets, first, strict=True)
    )
    by_weight = torch.autograd.grad(judged, w, retain_graph=True)[0]
    return by_weight, list(torch.autograd.grad(judged, list(weighting.network.parameters())))


@pytest.mark.parametrize(
    ("normalise", "similarities", "meta_batch", "targets", "virtual_rate"),
    [
        *product(
            ["none", "sum_to_T"], ["one", "all"], ["same", "next"], [("a",), ("a", "c")], [None]
        ),
        ("sum_to_T", "one", "next", ("c", "a"), 0.3),
    ],
)
def test_agrees_with_double_backward(
    make_problem, draw, normalise, similarities, meta_batch, targets, virtual_rate
):
    meta = None if meta_batch == "same" else (draw(6, 3, seed=30), task_labels(draw, 6, 40))
    scale = {"b": 0.3, "c": 4.0}
    labels = task_labels(draw, 8, 20)
    problem = make_problem(labels, draw(8, 3, seed=10), meta=meta, scale=scale, rate=RATE)
    weighting = made(
        targets=targets,
        normalise=normalise,
        similarities=similarities,
        meta_batch=meta_batch,
        virtual_rate=virtual_rate,
    )
    means = problem.losses(problem.parameters).means()
    first = [float(means[task].detach()) for task in targets]
    for _ in range(3):
        by_weight, by_network = unrolled(weighting, problem, first)
        found = weighting.fill_gradients(problem).diagnostics
        derivative = by_weight.new_tensor([found[f"meta_derivative/{task}"] for task in TASKS])
        torch.testing.assert_close(derivative, by_weight, rtol=1e-8, atol=1e-12)
        for parameter, expected in zip(weighting.network.parameters(), by_network, strict=True):
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-8, atol=1e-12)
        with torch.no_grad():
            for parameter in problem.parameters.values():
                parameter -= 0.1 * parameter.grad


def test_private_derivative_needs_no_graph(make_problem, draw):
    """The closed form at weights of one's own choice, ``-rate <v, g_i>``."""
    problem = make_problem(task_labels(draw, 8, 20), draw(8, 3, seed=10))
    weighting = made(meta_batch="same")
    means = problem.losses(problem.parameters).means()
    gradients = weighting._task_gradients(problem, means)
    weights = torch.tensor([0.5, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    found = weighting._meta_derivative(problem, gradients, weights.detach(), 0.2)
    total = sum(w * means[task] for w, task in zip(weights, TASKS, strict=True))
    own = problem.parameters
    steps = torch.autograd.grad(
        total, list(own.values()), create_graph=True, materialize_grads=True
    )
    moved = {name: own[name] - 0.2 * g for name, g in zip(own, steps, strict=True)}
    after = problem.meta_losses(moved).means()["a"]
    (expected,) = torch.autograd.grad(after, weights)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


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
    z = signals(weighting, problem)
    before = weighting.weights(z)
    decision = weighting.fill_gradients(problem)
    weights = weighting.weights(z)
    assert not torch.allclose(weights, before)
    assert [*decision.weights.values()] == pytest.approx(weights.tolist(), rel=1e-12)
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


def test_the_opposite_of_the_target_loses_weight(make_problem, draw):
    labels = {"a": draw(8, seed=20), "against": draw(8, seed=20)}
    problem = make_problem(
        labels, draw(8, 3, seed=10), towers=False, scale={"against": -1.0}, rate=0.001
    )
    weighting = made(("a", "against"), learning_rate=1e-2)
    history = [weighting.fill_gradients(problem) for _ in range(30)]
    assert history[0].diagnostics["cosine/against~a"] == pytest.approx(-1, abs=1e-12)
    weights = [decision.weights["against"] for decision in history]
    assert all(later < earlier for earlier, later in pairwise(weights))
    assert weights[-1] < 0.2
    assert history[-1].weights["a"] > 1.8


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
