"""What is checked: a weighting on a problem, a few steps of it, and how two runs compare."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from counterpoint.weighting.contract import Decision, Hinted, Losses, Parameters, Problem, Weighting

Make = Callable[[tuple[str, ...], tuple[str, ...]], Weighting]
Rows = Callable[[str, Tensor], Tensor]  # task and its per-example losses to some of them
Trace = list[tuple[Decision, dict[str, Tensor]]]  # decision and gradients of each step
STEPS_AN_EPOCH = 2


def small_problem(seed: int = 0) -> Problem:
    """Three tasks of unequal size and scale on one hidden layer, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows = {"target": 8, "helper": 6, "noise": 10}
    x = {task: drawn(n, 3) for task, n in rows.items()}
    y = {task: drawn(n) for task, n in rows.items()}
    towers = {f"towers.{task}": nn.Parameter(drawn(4)) for task in rows}
    parameters = {"shared": nn.Parameter(drawn(3, 4)), **towers}

    def losses(at: Parameters) -> Losses:
        outputs = {task: (x[task] @ at["shared"]).tanh() @ at[f"towers.{task}"] for task in rows}
        scale = {"target": 1.0, "helper": 0.1, "noise": 3.0}
        per_example = {task: scale[task] * (outputs[task] - y[task]) ** 2 for task in rows}
        return Losses(per_example, labels=y)

    groups = {"shared": ["shared"], "last_shared": ["shared"]}
    groups |= {f"tower:{task}": [f"towers.{task}"] for task in rows}
    return Problem(losses, losses, parameters, groups, learning_rate=0.01)


@dataclass(frozen=True)
class Case:
    """Weightings that are made alike, and what each is to weigh.

    ``reorder`` gives the second weighting the state of the first, tasks in its own order.
    """

    make: Make
    given: Problem
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    reorder: Callable[[Weighting, Weighting], None] | None
    seed: int

    @property
    def problem(self) -> Problem:
        """The problem with parameters of its own."""
        own = {name: nn.Parameter(p.detach().clone()) for name, p in self.given.parameters.items()}
        return replace(self.given, parameters=own)

    def weighting(self, *, reverse: bool = False, seed: int | None = None) -> Weighting:
        """A fresh one from a seed, of tasks and targets in their order or the reverse."""
        torch.manual_seed(self.seed if seed is None else seed)
        step = -1 if reverse else 1
        dtype = next(iter(self.given.parameters.values())).dtype
        return self.make(self.tasks[::step], self.targets[::step]).to(dtype)


def trace(
    weighting: Weighting,
    problem: Problem,
    steps: int,
    *,
    first: int = 0,
    seed: int | None = 0,
) -> Trace:
    """Steps of gradient descent on one batch, over :data:`STEPS_AN_EPOCH` an epoch.

    ``first`` is the number of the first one; ``seed`` None leaves the random state alone.
    """
    trace = []
    for step in range(first, first + steps):
        if seed is not None:
            torch.manual_seed(seed + step)
        decision = weighting.fill_gradients(replace(problem, epoch=step // STEPS_AN_EPOCH))
        gradients = {}
        for name, parameter in problem.parameters.items():
            require(parameter.grad is not None, f"no gradient for {name}")
            assert parameter.grad is not None
            gradients[name] = parameter.grad.clone()
            with torch.no_grad():
                parameter.sub_(parameter.grad, alpha=problem.learning_rate)
        trace.append((decision, gradients))
    return trace


def with_rows(problem: Problem, rows: Rows) -> Problem:
    """The problem on some rows, or on changed losses."""

    def changed(losses: Callable[[Parameters], Losses]) -> Callable[[Parameters], Losses]:
        def of(parameters: Parameters) -> Losses:
            found = losses(parameters)
            return replace(
                found,
                per_example={task: rows(task, x) for task, x in found.per_example.items()},
                labels={task: rows(task, x) for task, x in found.labels.items()},
                hints={
                    task: Hinted(rows(task, pair.model), rows(task, pair.hint))
                    for task, pair in found.hints.items()
                },
            )

        return of

    return replace(
        problem, losses=changed(problem.losses), meta_losses=changed(problem.meta_losses)
    )


def require(holds: bool, fault: str) -> None:
    """Raise an AssertionError of the fault unless something holds."""
    if not holds:
        raise AssertionError(fault)


def require_equal(found: Tensor, expected: Tensor, fault: str) -> None:
    """Equal but for rounding, on the scale of what is expected."""
    within = 1e-8 if expected.dtype == torch.float64 else 1e-4
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    apart = float((found - expected).abs().max()) / scale if expected.numel() else 0.0
    require(apart <= within, f"{fault}: apart by {apart:.1e}")


def require_equal_traces(found: Trace, expected: Trace, where: str) -> None:
    """Weights and gradients of each step equal but for rounding."""
    for (decision, gradients), (other, others) in zip(found, expected, strict=True):
        require(set(decision.weights) == set(other.weights), f"weights {where}")
        for task, weight in other.weights.items():
            close = abs(decision.weights[task] - weight) <= 1e-4 * max(1.0, abs(weight))
            require(close, f"weight of {task} {where}: {decision.weights[task]}, not {weight}")
        for name, gradient in others.items():
            require_equal(gradients[name], gradient, f"gradient of {name} {where}")


def require_same(found: Trace, expected: Trace, fault: str) -> None:
    """Decisions and gradients of each step equal to the bit."""
    for step, (one, other) in enumerate(zip(found, expected, strict=True), start=1):
        require(one[0] == other[0], f"{fault}: decision of step {step}")
        for name in other[1]:
            require(torch.equal(one[1][name], other[1][name]), f"{fault}: {name} in step {step}")


def require_finite(decision: Decision, problem: Problem, where: str) -> None:
    """No gradient and no number of the decision is missing, NaN or infinite."""
    for name, parameter in problem.parameters.items():
        grad = parameter.grad
        require(grad is not None, f"no gradient for {name} {where}")
        assert grad is not None
        require(bool(grad.isfinite().all()), f"gradient of {name} is not finite {where}")
    for what in ("losses", "weights", "diagnostics"):
        values = torch.tensor(list(getattr(decision, what).values()))
        require(bool(values.isfinite().all()), f"{what} of the decision are not finite {where}")
