"""A weighting knows tasks by their names, not by their places."""

from collections.abc import Callable
from dataclasses import replace

from counterpoint.weighting.checks.case import Case, require_equal_traces, trace
from counterpoint.weighting.contract import Losses, Parameters


def order_of_tasks_does_not_matter(case: Case) -> None:
    """Losses, groups or tasks in reverse give the same steps."""
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
    expected = trace(case.weighting(), problem, 3)
    found = trace(case.weighting(), otherwise, 3)
    require_equal_traces(found, expected, "with losses in another order")
    found = trace(back, case.problem, 3)
    require_equal_traces(found, expected, "with tasks in another order")
