"""SELAR with hints: both networks' derivatives against double backward, and what c does."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.weighting import Losses, Problem
from counterpoint.weighting.checks import INVARIANTS
from counterpoint.weighting.checks.case import Case
from counterpoint.weighting.checks.step import towers_are_only_weighted
from counterpoint.weighting.contract import AdamState, Hinted
from counterpoint.weighting.selar import Selar, SelarSettings
from counterpoint.weighting.selar_hint import SelarHint, SelarHintSettings

TASKS = ("a", "b", "c")
HELPED = ("b", "c")
RATE = 0.05


def made(kind=SelarHint, targets=("a",), tasks=TASKS, **settings) -> Selar:
    torch.manual_seed(0)
    read = SelarHintSettings if kind is SelarHint else SelarSettings
    return kind(tasks, targets, read(**{"hidden": 16, **settings})).double()


def hinted_problem(draw, *, hints=HELPED, clip=float("inf"), steps=0) -> Problem:
    """One regression and two binary tasks on a hidden layer, the latter with hints; a meta batch.

    A hint is bilinear in the hidden layer and its own matrix, so that model and hint share it.
    """
    values = {"shared.weight": draw(3, 6, seed=1), "shared.bias": draw(6, seed=2)}
    values |= {f"tower.{task}": draw(6, seed=3 + k) for k, task in enumerate(TASKS)}
    values |= {f"hint.{task}": draw(6, 6, seed=6 + k) for k, task in enumerate(HELPED)}
    parameters = {name: nn.Parameter(0.5 * value) for name, value in values.items()}

    def losses_on(x: Tensor, seed: int):
        y = {"a": draw(len(x), seed=seed)}
        y |= {task: (draw(len(x), seed=seed + 1 + k) > 0).double() for k, task in enumerate(HELPED)}

        def losses(at) -> Losses:
            h = (x @ at["shared.weight"] + at["shared.bias"]).tanh()
            logits = {task: h @ at[f"tower.{task}"] for task in TASKS}
            found = {
                task: Hinted(logits[task], ((h @ at[f"hint.{task}"]).tanh() * h).sum(-1))
                for task in hints
            }
            per_example = {"a": (logits["a"] - y["a"]) ** 2}
            for task in HELPED:
                per_example[task] = F.binary_cross_entropy_with_logits(
                    logits[task], y[task], reduction="none"
                )
            return Losses(per_example, labels=y, hints=found)

        return losses

    groups = {"shared": ["shared.weight", "shared.bias"], "last_shared": ["shared.weight"]}
    groups |= {f"tower:{task}": [f"tower.{task}"] for task in TASKS}
    for task in HELPED:
        groups[f"tower:{task}"].append(f"hint.{task}")
    state = {
        name: AdamState(
            0.1 * draw(*p.shape, seed=60 + k), 0.01 + draw(*p.shape, seed=80 + k).square(), steps
        )
        for k, (name, p) in enumerate(parameters.items())
    }
    return Problem(
        losses_on(draw(8, 3, seed=10), 20),
        losses_on(draw(6, 3, seed=30), 40),
        parameters,
        groups,
        learning_rate=RATE,
        clip=clip,
        optimizer_state=lambda: state if steps else {},
    )


def columns(parts) -> Tensor:
    return torch.stack([part.detach() for part in parts], 1)


def one_hot(task: str, n: int) -> list[Tensor]:
    return list(F.one_hot(torch.tensor([TASKS.index(task)] * n), 3).double().unbind(1))


def mixed(weighting: SelarHint, found: Losses) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Shares and losses of the mixed predictions, written out with a graph to V_H."""
    shares, losses = {}, dict(found.per_example)
    for task, pair in found.hints.items():
        y = found.labels[task]
        bce = [
            -(y * logits.sigmoid().log() + (1 - y) * (1 - logits.sigmoid()).log())
            for logits in (pair.model, pair.hint)
        ]
        z = columns([*bce, *one_hot(task, len(y)), y])
        shares[task] = weighting.mixer(z).squeeze(-1)
        p = (shares[task] * pair.model + (1 - shares[task]) * pair.hint).sigmoid()
        losses[task] = -(y * p.log() + (1 - y) * (1 - p).log())
    return shares, losses


def weights(weighting: SelarHint, found: Losses, losses: dict[str, Tensor]) -> list[Tensor]:
    raw = []
    for task in TASKS:
        y = found.labels[task]
        z = columns([losses[task], *one_hot(task, len(y)), y])
        raw.append(weighting.network(z).squeeze(-1))
    sizes, kind = [len(v) for v in raw], weighting.settings.normalise
    if kind == "none":
        return raw
    if kind == "sum_to_T":
        return [v / (sum(v.mean() for v in raw) / 3) for v in raw]
    level = sum(raw[TASKS.index(task)].mean() for task in weighting.targets)
    level = level / len(weighting.targets)
    return [v / level * n / sum(sizes) for v, n in zip(raw, sizes, strict=True)]


def stepped(problem: Problem, gradients, settings) -> dict[str, Tensor]:
    """The virtual step by its definition, differentiable in the gradients."""
    if settings.clip:
        norm = sum(g.square().sum() for g in gradients).sqrt()
        assert norm > problem.clip
        gradients = [g * problem.clip / norm for g in gradients]
    moved = {}
    for (name, p), g in zip(problem.parameters.items(), gradients, strict=True):
        state, direction = problem.optimizer_state().get(name), g
        if settings.optimizer == "adam" and state is not None:
            direction = (0.9 * state.mean + 0.1 * g) / (1 - 0.9 ** (state.step + 1))
            second = state.square / (1 - 0.999**state.step)
            direction = direction / (second.sqrt() + 1e-8)
        moved[name] = p - RATE * direction
    return moved


def unrolled(weighting: SelarHint, problem: Problem, first: list[float]):
    """Derivatives of the meta-loss by V's and by V_H's parameters."""
    found = problem.losses(problem.parameters)
    _, losses = mixed(weighting, found)
    w = weights(weighting, found, losses)
    total = sum((v * losses[task]).mean() for v, task in zip(w, TASKS, strict=True))
    gradients = torch.autograd.grad(
        total, list(problem.parameters.values()), create_graph=True, materialize_grads=True
    )
    after = problem.meta_losses(stepped(problem, gradients, weighting.settings.virtual)).means()
    judged = sum(
        after[task] / (start if len(first) > 1 else 1.0)
        for task, start in zip(weighting.targets, first, strict=True)
    )
    networks = [list(net.parameters()) for net in (weighting.network, weighting.mixer)]
    by_parameter = torch.autograd.grad(judged, networks[0] + networks[1])
    n = len(networks[0])
    return by_parameter[:n], by_parameter[n:]


@pytest.mark.parametrize(
    ("virtual", "steps"), [({}, 0), ({"clip": True}, 0), ({"optimizer": "adam", "clip": True}, 3)]
)
@pytest.mark.parametrize("targets", [("a",), ("b", "a")], ids=str)
@pytest.mark.parametrize("normalise", ["none", "sum_to_T", "selar"])
@pytest.mark.parametrize("derivative", ["forward", "double"])
def test_agrees_with_double_backward(draw, virtual, steps, targets, normalise, derivative):
    problem = hinted_problem(draw, clip=0.1, steps=steps)
    weighting = made(targets=targets, normalise=normalise, virtual=virtual, derivative=derivative)
    first = None
    for _ in range(2):
        if first is None:
            _, losses = mixed(weighting, problem.losses(problem.parameters))
            first = [float(losses[task].detach().mean()) for task in targets]
        expected = unrolled(weighting, problem, first)
        weighting.fill_gradients(problem)
        for network, gradients in zip((weighting.network, weighting.mixer), expected, strict=True):
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                assert gradient.norm() > 0
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-12)
        with torch.no_grad():
            for parameter in problem.parameters.values():
                parameter -= 0.1 * parameter.grad


def test_real_gradient_is_of_the_mixed_losses_by_the_new_networks(draw):
    problem = hinted_problem(draw)
    weighting = made(learning_rate=0.05)
    found = problem.losses(problem.parameters)
    shares, old = mixed(weighting, found)
    shown = weights(weighting, found, old)
    decision = weighting.fill_gradients(problem)
    again, losses = mixed(weighting, found)
    # V was shown the losses that it weighed, of the old c
    w = [v.detach() for v in weights(weighting, found, old)]
    assert all(not torch.allclose(a, b) for a, b in zip(shown, w, strict=True))
    total = sum((v * losses[task]).mean() for v, task in zip(w, TASKS, strict=True))
    for task in HELPED:
        assert not torch.allclose(shares[task], again[task])
        c = again[task].detach()
        assert decision.diagnostics[f"model_share/{task}"] == pytest.approx(float(c.mean()))
        assert decision.losses[task] == pytest.approx(float(losses[task].detach().mean()))
    expected = torch.autograd.grad(total, list(problem.parameters.values()))
    for (name, parameter), gradient in zip(problem.parameters.items(), expected, strict=True):
        assert gradient.norm() > 0, name
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


def test_with_a_share_of_1_it_is_selar(draw):
    """To the last digits but one, over steps in which V moves."""
    problems = [hinted_problem(draw), hinted_problem(draw)]
    plain, hint = made(Selar), made()
    with torch.no_grad():
        hint.mixer[2].bias.fill_(100.0)  # whose sigmoid is 1
    for _ in range(5):
        decisions = [w.fill_gradients(p) for w, p in zip((plain, hint), problems, strict=True)]
        assert decisions[1].diagnostics["model_share/b"] == 1.0
        assert decisions[1].weights == pytest.approx(decisions[0].weights, rel=1e-13)
        assert decisions[1].losses == pytest.approx(decisions[0].losses, rel=1e-13)
        for name, parameter in problems[1].parameters.items():
            expected = problems[0].parameters[name]
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-12, atol=1e-13)
            with torch.no_grad():
                for p in (parameter, expected):
                    p -= 0.1 * p.grad
    assert not torch.equal(made().network[0].weight, hint.network[0].weight)


def test_without_hints_it_is_selar_to_the_bit(draw):
    problems = [hinted_problem(draw, hints=()), hinted_problem(draw, hints=())]
    found = [
        w.fill_gradients(p)
        for w, p in zip((made(Selar, derivative="forward"), made()), problems, strict=True)
    ]
    assert found[0] == found[1]


def test_a_hint_that_knows_the_answer_is_let_speak_where_it_helps(draw):
    """V_H learns to tell the helpful side from what it is shown: the share of a right hint falls.

    Task b wants the model to fit the target's opposite, so the target gains where the hint, which
    is right, answers in its place.
    """
    truth, x = draw(3, seed=50), draw(64, 3, seed=51)
    y = x @ truth
    labels = {"a": y, "b": (y < 0).double()}
    weighting = made(tasks=("a", "b"), learning_rate=0.02, virtual={"rate": 0.5})
    parameters = {"w": nn.Parameter(torch.zeros(3, dtype=torch.float64))}

    def losses(at) -> Losses:
        h = x @ at["w"]
        wrong = F.binary_cross_entropy_with_logits(h, labels["b"], reduction="none")
        pair = Hinted(h, -5 * y + 0 * h)
        return Losses({"a": (h - y) ** 2, "b": wrong}, labels=labels, hints={"b": pair})

    groups = {"shared": ["w"], "last_shared": ["w"], "tower:a": [], "tower:b": []}
    problem = Problem(losses, losses, parameters, groups, learning_rate=0.05)
    shares = []
    for _ in range(60):
        shares.append(weighting.fill_gradients(problem).diagnostics["model_share/b"])
        with torch.no_grad():
            parameters["w"] -= 0.01 * parameters["w"].grad
    assert shares[-1] < shares[0] - 0.2


@pytest.mark.parametrize(
    "invariant",
    [i for i in INVARIANTS if i is not towers_are_only_weighted],
    ids=lambda i: i.__name__,
)
def test_keeps_the_contract(draw, invariant):
    """All of it but one: a helped task's tower follows the mixed loss, not the model's own."""

    def reorder(first, second):
        second.load_state_dict(first.state_dict())
        with torch.no_grad():
            for network, types in ((second.network, slice(1, 4)), (second.mixer, slice(2, 5))):
                weight = network[0].weight
                weight[:, types] = weight[:, types].flip(1)

    settings = SelarHintSettings(hidden=16)
    case = Case(
        lambda tasks, targets: SelarHint(tasks, targets, settings),
        hinted_problem(draw),
        TASKS,
        ("a",),
        reorder,
        0,
    )
    with torch.random.fork_rng():
        invariant(case)
