"""What every weighting must keep, to hold one of your own to."""

from collections.abc import Callable

import torch

from counterpoint.weighting.checks.case import Case, Make, small_problem
from counterpoint.weighting.checks.order import order_of_tasks_does_not_matter
from counterpoint.weighting.checks.state import continues_from_its_state, is_deterministic
from counterpoint.weighting.checks.step import (
    fills_every_gradient,
    moves_no_parameter,
    penalties_are_not_weighted,
    poor_batches_do_no_harm,
    towers_are_only_weighted,
)
from counterpoint.weighting.checks.workers import this_process_equals_one, two_workers_equal_one
from counterpoint.weighting.contract import Problem, Weighting


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
    case = _case(make, problem, targets, reorder, seed)
    with torch.random.fork_rng():
        for invariant in INVARIANTS:
            invariant(case)


def check_process(
    make: Make,
    problem: Problem | None = None,
    targets: tuple[str, ...] | None = None,
    *,
    steps: int = 5,
    seed: int = 0,
) -> None:
    """Raise an AssertionError if this process and its peer do not equal one that sees all rows.

    To be called in each of the two processes of torch.distributed's default group, with arguments
    as of :func:`check_weighting`, where two threads stand for them. Five steps are three epochs.
    """
    case = _case(make, problem, targets, None, seed)
    with torch.random.fork_rng():
        this_process_equals_one(case, steps)


def _case(
    make: Make,
    problem: Problem | None,
    targets: tuple[str, ...] | None,
    reorder: Callable[[Weighting, Weighting], None] | None,
    seed: int,
) -> Case:
    if problem is None:
        problem = small_problem(seed)
    tasks = tuple(name.removeprefix("tower:") for name in problem.groups if "tower:" in name)
    return Case(make, problem, tasks, targets or tasks[:1], reorder, seed)


INVARIANTS: tuple[Callable[[Case], None], ...] = (
    is_deterministic,
    fills_every_gradient,
    moves_no_parameter,
    order_of_tasks_does_not_matter,
    towers_are_only_weighted,
    penalties_are_not_weighted,
    poor_batches_do_no_harm,
    continues_from_its_state,
    two_workers_equal_one,
)

__all__ = ["INVARIANTS", "Make", "check_process", "check_weighting", "small_problem"]
