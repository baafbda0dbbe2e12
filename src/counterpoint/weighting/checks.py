"""What every weighting must keep, to hold one of your own to."""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from counterpoint.weighting.contract import Decision, Losses, Parameters, Problem, Weighting

Make = Callable[[tuple[str, ...], tuple[str, ...]], Weighting]
Rows = Callable[[str, Tensor], Tensor]  # task and its per-example losses to some of them
Trace = list[tuple[Decision, dict[str, Tensor]]]  # decision and gradients of each step

PATIENCE = 10.0  # seconds that a worker waits for the other before they are said to disagree


def check_weighting(
    make: Make,
    problem: Problem | None = None,
    targets: tuple[str, ...] | None = None,
    *,
    reorder: Callable[[Weighting, Weighting], None] | None = None,
    seed: int = 0,
) -> None:
    """Raise an AssertionError that says how a weighting breaks the contract, if it does.

    The weight of a task in the :class:`Decision` is the one that its own tower must show. What
    is checked is the list :data:`INVARIANTS`.

    Args:
        make: tasks and targets to a fresh weighting.
        problem: what to weigh; its losses must be functions of the parameters that they are
            given, without dropout. None: three small tasks in float64.
        targets: names of the targets. None: the first task.
        reorder: gives the second weighting the state of the first, each in the order of its own
            tasks. Needed where fresh weightings of tasks in two orders are not the same function,
            as with a random network over one-hot tasks.
        seed: of everything random in here.

    Example::

        check_weighting(lambda tasks, targets: Mine(tasks, targets, MySettings(rate=0.1)))
    """
    if problem is None:
        problem = small_problem(seed)
    tasks = tuple(name.removeprefix("tower:") for name in problem.groups if "tower:" in name)
    case = _Case(make, problem, tasks, targets or tasks[:1], reorder, seed)
    with torch.random.fork_rng():
        for invariant in INVARIANTS:
            invariant(case)


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
class _Case:
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
        torch.manual_seed(self.seed if seed is None else seed)
        step = -1 if reverse else 1
        dtype = next(iter(self.given.parameters.values())).dtype
        return self.make(self.tasks[::step], self.targets[::step]).to(dtype)


def _trace(weighting: Weighting, problem: Problem, steps: int, *, seed: int | None = 0) -> Trace:
    """Steps of gradient descent on one batch; ``seed`` None leaves the random state alone."""
    trace = []
    for step in range(steps):
        if seed is not None:
            torch.manual_seed(seed + step)
        decision = weighting.fill_gradients(problem)
        gradients = {}
        for name, parameter in problem.parameters.items():
            _require(parameter.grad is not None, f"no gradient for {name}")
            assert parameter.grad is not None
            gradients[name] = parameter.grad.clone()
            with torch.no_grad():
                parameter.sub_(parameter.grad, alpha=problem.learning_rate)
        trace.append((decision, gradients))
    return trace


def _with_rows(problem: Problem, rows: Rows) -> Problem:
    """The problem on some rows, or on changed losses."""

    def changed(losses: Callable[[Parameters], Losses]) -> Callable[[Parameters], Losses]:
        def of(parameters: Parameters) -> Losses:
            found = losses(parameters)
            return replace(
                found,
                per_example={task: rows(task, x) for task, x in found.per_example.items()},
                labels={task: rows(task, x) for task, x in found.labels.items()},
            )

        return of

    return replace(
        problem, losses=changed(problem.losses), meta_losses=changed(problem.meta_losses)
    )


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise AssertionError(fault)


def _require_equal(found: Tensor, expected: Tensor, fault: str) -> None:
    within = 1e-8 if expected.dtype == torch.float64 else 1e-4
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    apart = float((found - expected).abs().max()) / scale if expected.numel() else 0.0
    _require(apart <= within, f"{fault}: apart by {apart:.1e}")


def _require_equal_traces(found: Trace, expected: Trace, where: str) -> None:
    for (decision, gradients), (other, others) in zip(found, expected, strict=True):
        _require(set(decision.weights) == set(other.weights), f"weights {where}")
        for task, weight in other.weights.items():
            close = abs(decision.weights[task] - weight) <= 1e-4 * max(1.0, abs(weight))
            _require(close, f"weight of {task} {where}: {decision.weights[task]}, not {weight}")
        for name, gradient in others.items():
            _require_equal(gradients[name], gradient, f"gradient of {name} {where}")


def _require_finite(decision: Decision, problem: Problem, where: str) -> None:
    for name, parameter in problem.parameters.items():
        grad = parameter.grad
        _require(grad is not None, f"no gradient for {name} {where}")
        assert grad is not None
        _require(bool(grad.isfinite().all()), f"gradient of {name} is not finite {where}")
    for what in ("losses", "weights", "diagnostics"):
        values = torch.tensor(list(getattr(decision, what).values()))
        _require(bool(values.isfinite().all()), f"{what} of the decision are not finite {where}")


def _is_deterministic(case: _Case) -> None:
    first, second = (_trace(case.weighting(), case.problem, 2) for _ in range(2))
    _require_same(first, second, "the same steps twice differ")


def _require_same(found: Trace, expected: Trace, fault: str) -> None:
    for step, (one, other) in enumerate(zip(found, expected, strict=True), start=1):
        _require(one[0] == other[0], f"{fault}: decision of step {step}")
        for name in other[1]:
            _require(torch.equal(one[1][name], other[1][name]), f"{fault}: {name} in step {step}")


def _fills_every_gradient(case: _Case) -> None:
    clean, dirty = case.problem, case.problem
    decision = case.weighting().fill_gradients(clean)
    _require_finite(decision, clean, "on a plain batch")
    for what in ("losses", "weights"):
        named = set(getattr(decision, what))
        _require(named == set(case.tasks), f"{what} of the decision are of {sorted(named)}")
    for parameter in dirty.parameters.values():
        parameter.grad = torch.full_like(parameter, 7.0)
    case.weighting().fill_gradients(dirty)
    for name, parameter in dirty.parameters.items():
        grad, expected = parameter.grad, clean.parameters[name].grad
        assert grad is not None
        assert expected is not None
        _require(torch.equal(grad, expected), f"gradient of {name} is added to what was there")
        _require(not grad.requires_grad, f"gradient of {name} holds a graph")


def _moves_no_parameter(case: _Case) -> None:
    problem = case.problem
    case.weighting().fill_gradients(problem)
    for name, parameter in problem.parameters.items():
        same = torch.equal(parameter, case.given.parameters[name])
        _require(same and parameter.requires_grad, f"fill_gradients changes the parameter {name}")


def _order_of_tasks_does_not_matter(case: _Case) -> None:
    problem = case.problem

    def backwards(losses: Callable[[Parameters], Losses]) -> Callable[[Parameters], Losses]:
        def of(parameters: Parameters) -> Losses:
            found = losses(parameters)
            return replace(found, per_example=dict(reversed(list(found.per_example.items()))))

        return of

    otherwise = replace(
        case.problem,
        losses=backwards(problem.losses),
        meta_losses=backwards(problem.meta_losses),
        groups=dict(reversed(list(problem.groups.items()))),
    )
    back = case.weighting(reverse=True)
    if case.reorder is not None:
        case.reorder(case.weighting(), back)
    expected = _trace(case.weighting(), problem, 2)
    found = _trace(case.weighting(), otherwise, 2)
    _require_equal_traces(found, expected, "with losses in another order")
    found = _trace(back, case.problem, 2)
    _require_equal_traces(found, expected, "with tasks in another order")


def _towers_are_only_weighted(case: _Case) -> None:
    problem = case.problem
    decision = case.weighting().fill_gradients(problem)
    losses = problem.losses(problem.parameters)
    for task, loss in losses.per_example.items():
        weight = decision.of_examples.get(task, decision.weights[task])
        tower = {name: problem.parameters[name] for name in problem.groups[f"tower:{task}"]}
        if not tower:
            continue
        total = (weight * loss).mean() + losses.penalty
        expected = torch.autograd.grad(
            total, list(tower.values()), retain_graph=True, materialize_grads=True
        )
        for (name, parameter), gradient in zip(tower.items(), expected, strict=True):
            assert parameter.grad is not None
            fault = f"gradient of {name} is not the weight of {task} times its own"
            _require_equal(parameter.grad, gradient, fault)


def _penalties_are_not_weighted(case: _Case) -> None:
    extra = nn.Parameter(torch.ones(2, dtype=next(iter(case.problem.parameters.values())).dtype))
    plain = case.problem

    def penalised(parameters: Parameters) -> Losses:
        found = plain.losses(parameters)
        return replace(found, penalty=found.penalty + parameters["extra"].square().sum())

    problem = replace(
        plain,
        losses=penalised,
        parameters={**plain.parameters, "extra": extra},
        groups={**plain.groups, "shared": [*plain.groups["shared"], "extra"]},
    )
    case.weighting().fill_gradients(problem)
    _require(extra.grad is not None, "no gradient for a parameter that is penalised alone")
    assert extra.grad is not None
    _require_equal(extra.grad, 2 * extra.detach(), "a penalty is not passed on as it is")
    bare = replace(problem, losses=plain.losses)
    case.weighting().fill_gradients(bare)
    grad = bare.parameters["extra"].grad
    reached = grad is None or bool(grad.any())
    _require(not reached, "a parameter that no loss reaches has no gradient of zeros")


def _changed(
    chosen: tuple[str, ...], change: Callable[[Tensor], Tensor], task: str, losses: Tensor
) -> Tensor:
    return change(losses) if task in chosen else losses


def _poor_batches_do_no_harm(case: _Case) -> None:
    """Batches without rows, and batches of losses 0, as of one class that is predicted already."""
    for chosen in (*((task,) for task in case.tasks), case.tasks):
        for where, poor in (
            (f"after an empty batch of {', '.join(chosen)}", lambda x: x[:0]),
            (f"after losses of 0 of {', '.join(chosen)}", lambda x: 0 * x),
        ):
            weighting, problem = case.weighting(), case.problem
            rows = partial(_changed, chosen, poor)
            for step in (_with_rows(problem, rows), problem):
                _require_finite(weighting.fill_gradients(step), problem, where)


def _continues_from_its_state(case: _Case) -> None:
    weighting, problem = case.weighting(), case.problem
    _trace(weighting, problem, 2)
    state = copy.deepcopy(weighting.state_dict())
    own = {name: nn.Parameter(p.detach().clone()) for name, p in problem.parameters.items()}
    resumed = case.weighting(seed=case.seed + 1)
    try:
        resumed.load_state_dict(state)
    except RuntimeError as failure:
        raise AssertionError(f"a fresh weighting cannot load the state: {failure}") from failure
    again = _trace(resumed, replace(problem, parameters=own), 2)
    _require_same(again, _trace(weighting, problem, 2), "continued from its state it differs")


def _every_second(first: int, task: str, losses: Tensor) -> Tensor:
    return losses[first::2]


def _two_workers_equal_one(case: _Case) -> None:
    together = _MeanOfTwo()
    alone = _with_rows(case.problem, lambda task, losses: losses[: len(losses) // 2 * 2])
    expected = _trace(case.weighting(), alone, 2)
    halves = [
        replace(
            _with_rows(alone, partial(_every_second, rank)),
            parameters=case.problem.parameters,
            reduce=partial(together.mean, rank),
        )
        for rank in (0, 1)
    ]
    weightings = [case.weighting(), case.weighting()]

    def work(rank: int) -> Trace:
        with together.turn:
            try:
                return _trace(weightings[rank], halves[rank], 2, seed=None)
            except BaseException:
                together.barrier.abort()
                raise

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, rank) for rank in (0, 1)]
        faults = [f for f in (future.exception() for future in futures) if f is not None]
    for fault in faults:
        if not isinstance(fault, threading.BrokenBarrierError):
            raise fault
    _require(not faults, "two workers do not reduce the same number of times")
    for trace in (future.result() for future in futures):
        _require_equal_traces(trace, expected, "of two workers on half batches, not those of one")
    first, second = (dict(_leaves(weighting.state_dict())) for weighting in weightings)
    for place, value in first.items():
        same = torch.equal(torch.as_tensor(value), torch.as_tensor(second[place]))
        _require(same, f"two workers come to different states: {place}")


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and numbers of a nested state, each with its place in it."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(tree, list | tuple):
        for key, value in enumerate(tree):
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(tree, Tensor | float | int):
        yield place, tree


class _MeanOfTwo:
    """Mean over two threads that stand for workers.

    They take turns and change over here: under functional_call a model serves one thread.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.barrier = threading.Barrier(2, timeout=PATIENCE)
        self.values = [torch.zeros(()), torch.zeros(())]

    def mean(self, rank: int, value: Tensor) -> Tensor:
        self.values[rank] = value
        self._let_the_other_come_here()
        first, second = self.values
        _require(
            first.shape == second.shape,
            f"two workers reduce unlike tensors: {[*first.shape]}, {[*second.shape]}",
        )
        mean = (first + second) / 2
        self._let_the_other_come_here()
        return mean

    def _let_the_other_come_here(self) -> None:
        self.turn.release()
        try:
            self.barrier.wait()
        finally:
            self.turn.acquire()


INVARIANTS: tuple[Callable[[_Case], None], ...] = (
    _is_deterministic,
    _fills_every_gradient,
    _moves_no_parameter,
    _order_of_tasks_does_not_matter,
    _towers_are_only_weighted,
    _penalties_are_not_weighted,
    _poor_batches_do_no_harm,
    _continues_from_its_state,
    _two_workers_equal_one,
)
