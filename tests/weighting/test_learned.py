"""The derivative of V against double backward through an unrolled virtual step, in float64."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from counterpoint.weighting.aux_ts import AuxTS, AuxTSSettings
from counterpoint.weighting.learned import LearnedWeighting
from counterpoint.weighting.selar import Selar, SelarSettings

TASKS = ("a", "b", "c")
RATE = 0.05


def made(kind: str = "aux_ts", targets=("a",), **settings) -> LearnedWeighting:
    torch.manual_seed(0)
    method, read = {"aux_ts": (AuxTS, AuxTSSettings), "selar": (Selar, SelarSettings)}[kind]
    return method(TASKS, targets, read(**{"hidden": 16, **settings})).double()


def task_labels(draw, sizes, seed):
    return {
        task: draw(size, seed=seed + k)
        for k, (task, size) in enumerate(zip(TASKS, sizes, strict=True))
    }


def signals(weighting: LearnedWeighting, problem) -> list[Tensor]:
    """Inputs of V written out for each task: losses, one-hot task, cosines or labels."""
    found = problem.losses(problem.parameters)
    shared = [problem.parameters[name] for name in problem.groups["shared"]]
    means = found.means()
    flat = {
        task: torch.cat(
            [g.flatten() for g in torch.autograd.grad(means[task], shared, retain_graph=True)]
        )
        for task in TASKS
    }
    cosines = {
        task: [F.cosine_similarity(flat[task], flat[other], dim=0) for other in weighting.targets]
        for task in TASKS
    }
    by_example = weighting.settings.granularity == "example"
    rows = []
    for place, task in enumerate(TASKS):
        losses = found.per_example[task].detach() if by_example else means[task].detach()[None]
        labels = found.labels[task] if by_example else found.labels[task].mean()[None]
        types = F.one_hot(torch.tensor(place), 3).double()
        if isinstance(weighting, Selar):
            extra = labels[:, None]
        elif weighting.settings.similarities == "one":
            extra = torch.stack(cosines[task]).expand(len(losses), -1)
        else:
            every = [value for other in TASKS for value in cosines[other]]
            extra = torch.stack(every).expand(len(losses), -1)
        rows.append(torch.cat([losses[:, None], types.expand(len(losses), -1), extra], 1))
    return rows


def normalised(weighting: LearnedWeighting, raw: list[Tensor], sizes: list[int]) -> list[Tensor]:
    """METHODS B.2: as they come, with means that sum to T, or as SELAR has it."""
    kind = weighting.settings.normalise
    if kind == "none":
        return raw
    if kind == "sum_to_T":
        level = sum(v.mean() for v in raw) / len(raw)
        return [v / level for v in raw]
    level = sum(raw[TASKS.index(task)].mean() for task in weighting.targets)
    level = level / len(weighting.targets)
    return [v / level * n / sum(sizes) for v, n in zip(raw, sizes, strict=True)]


def stepped(problem, own, gradients, settings) -> dict[str, Tensor]:
    """The virtual step by its definition, differentiable in the gradients."""
    if settings.clip:
        norm = sum(g.square().sum() for g in gradients).sqrt()
        if norm > problem.clip:
            gradients = [g * problem.clip / norm for g in gradients]
    rate = settings.rate or RATE
    moved = {}
    for name, g in zip(own, gradients, strict=True):
        state = problem.optimizer_state().get(name)
        direction = g
        if settings.optimizer != "sgd" and state is not None:
            direction = (0.9 * state.mean + 0.1 * g) / (1 - 0.9 ** (state.step + 1))
            if settings.optimizer == "adam":
                second = state.square / (1 - 0.999**state.step)
                direction = direction / (second.sqrt() + 1e-8)
        moved[name] = own[name] - rate * direction
    return moved


def unrolled(weighting: LearnedWeighting, problem, first) -> tuple[list[Tensor], list[Tensor]]:
    """Derivatives of the meta-loss by each task's weights and by V's parameters."""
    z = signals(weighting, problem)
    own = problem.parameters
    losses = problem.losses(own).per_example
    raw = [weighting.network(rows).squeeze(-1) for rows in z]
    w = normalised(weighting, raw, [len(loss) for loss in losses.values()])
    total = sum((v * loss).mean() for v, loss in zip(w, losses.values(), strict=True))
    gradients = torch.autograd.grad(
        total, list(own.values()), create_graph=True, materialize_grads=True
    )
    moved = stepped(problem, own, gradients, weighting.settings.virtual)
    after = problem.meta_losses(moved).means()
    judged = sum(
        after[task] / (start if len(first) > 1 else 1.0)
        for task, start in zip(weighting.targets, first, strict=True)
    )
    by_weight = torch.autograd.grad(judged, w, retain_graph=True)
    network = torch.autograd.grad(judged, list(weighting.network.parameters()))
    return [c.sum() for c in by_weight], list(network)


VIRTUAL = [
    {},
    {"rate": 0.3},
    {"clip": True},
    {"optimizer": "momentum", "clip": True},
    {"optimizer": "adam"},
    {"optimizer": "adam", "clip": True},
]
SIGNALS = [
    {"kind": "aux_ts", "similarities": "one"},
    {"kind": "aux_ts", "similarities": "all"},
    {"kind": "selar"},
]


@pytest.mark.parametrize("virtual", VIRTUAL, ids=str)
@pytest.mark.parametrize("targets", [("a",), ("c", "a")], ids=str)
@pytest.mark.parametrize("normalise", ["none", "sum_to_T", "selar"])
@pytest.mark.parametrize("granularity", ["task", "example"])
@pytest.mark.parametrize("shown", SIGNALS, ids=str)
def test_agrees_with_double_backward(
    make_problem, draw, shown, granularity, normalise, targets, virtual
):
    for meta_batch, steps in product(["same", "next"], [0, 3]):
        meta = None
        if meta_batch == "next":
            meta = draw(6, 3, seed=30), task_labels(draw, (6, 6, 6), 40)
        problem = make_problem(
            task_labels(draw, (8, 8, 8), 20),
            draw(8, 3, seed=10),
            meta=meta,
            scale={"b": 0.3, "c": 4.0},
            rate=RATE,
            clip=0.7,
            steps=steps,
        )
        weighting = made(
            **shown,
            targets=targets,
            granularity=granularity,
            normalise=normalise,
            meta_batch=meta_batch,
            virtual=virtual,
        )
        means = problem.losses(problem.parameters).means()
        first = [float(means[task].detach()) for task in targets]
        for _ in range(2):
            by_weight, by_network = unrolled(weighting, problem, first)
            found = weighting.fill_gradients(problem).diagnostics
            for task, expected in zip(TASKS, by_weight, strict=True):
                derivative = found[f"meta_derivative/{task}"]
                assert derivative == pytest.approx(float(expected), rel=1e-8, abs=1e-12)
            for parameter, expected in zip(weighting.network.parameters(), by_network, strict=True):
                torch.testing.assert_close(parameter.grad, expected, rtol=1e-8, atol=1e-12)
            with torch.no_grad():
                for parameter in problem.parameters.values():
                    parameter -= 0.1 * parameter.grad


@pytest.mark.parametrize("derivative", ["double", "difference"])
@pytest.mark.parametrize("shown", SIGNALS, ids=str)
def test_the_fallbacks_give_what_forward_mode_gives(make_problem, draw, shown, derivative):
    close = 1e-10 if derivative == "double" else 1e-5
    gradients = []
    for method in ("forward", derivative):
        problem = make_problem(task_labels(draw, (8, 8, 8), 20), draw(8, 3, seed=10))
        weighting = made(**shown, granularity="example", derivative=method)
        weighting.fill_gradients(problem)
        gradients.append([parameter.grad for parameter in weighting.network.parameters()])
    for found, expected in zip(*gradients, strict=True):
        assert expected.norm() > 0
        torch.testing.assert_close(found, expected, rtol=close, atol=close)


@pytest.mark.parametrize("shown", SIGNALS, ids=str)
@pytest.mark.parametrize("granularity", ["task", "example"])
def test_real_gradient_is_the_weighted_sum_with_the_new_weights(
    make_problem, draw, shown, granularity
):
    problem = make_problem(task_labels(draw, (8, 8, 8), 20), draw(8, 3, seed=10))
    weighting = made(**shown, granularity=granularity, learning_rate=0.05)
    z = signals(weighting, problem)
    old = [weighting.network(rows).squeeze(-1).detach() for rows in z]
    weighting.fill_gradients(problem)
    raw = [weighting.network(rows).squeeze(-1).detach() for rows in z]
    assert all(not torch.allclose(a, b) for a, b in zip(old, raw, strict=True))
    losses = problem.losses(problem.parameters).per_example
    w = normalised(weighting, raw, [8, 8, 8])
    total = sum((v * loss).mean() for v, loss in zip(w, losses.values(), strict=True))
    expected = torch.autograd.grad(total, list(problem.parameters.values()))
    for parameter, gradient in zip(problem.parameters.values(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


def test_an_empty_task_moves_nothing_but_itself(make_problem, draw):
    for shown, granularity in product(SIGNALS, ["task", "example"]):
        problem = make_problem(task_labels(draw, (8, 8, 8), 20), draw(8, 3, seed=10))
        whole = problem.losses

        def without(parameters, whole=whole):
            found = whole(parameters)
            labels = {**found.labels, "b": found.labels["b"][:0]}
            return type(found)({**found.per_example, "b": found.per_example["b"][:0]}, 0.0, labels)

        object.__setattr__(problem, "losses", without)
        decision = made(**shown, granularity=granularity).fill_gradients(problem)
        assert all(map(math.isfinite, decision.weights.values()))
        assert decision.diagnostics["meta_derivative/b"] == 0
        assert problem.parameters["tower.b"].grad.norm() == 0


def test_two_learning_rates_of_the_virtual_step_differ_in_scale_alone(make_problem, draw):
    """At a vanishing rate the derivative is the rate times the inner product at the start."""
    found = {}
    for rate in (1e-6, 2e-6):
        problem = make_problem(task_labels(draw, (8, 8, 8), 20), draw(8, 3, seed=10))
        diagnostics = made(virtual={"rate": rate}).fill_gradients(problem).diagnostics
        found[rate] = diagnostics["meta_derivative/b"]
    assert found[2e-6] == pytest.approx(2 * found[1e-6], rel=1e-4)
