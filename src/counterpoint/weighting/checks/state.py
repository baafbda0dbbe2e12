"""A weighting is a function of its state: it can be run again, and be resumed."""

import copy
from dataclasses import replace

from torch import nn

from counterpoint.weighting.checks.case import Case, require_same, trace


def is_deterministic(case: Case) -> None:
    """The same steps give the same bits."""
    first, second = (trace(case.weighting(), case.problem, 3) for _ in range(2))
    require_same(first, second, "the same steps twice differ")


def continues_from_its_state(case: Case) -> None:
    """A weighting with another's state goes on as that one does, to the bit.

    It is taken over within the third epoch, and a fourth begins after that.
    """
    taken, more = 5, 3
    weighting, problem = case.weighting(), case.problem
    trace(weighting, problem, taken)
    state = copy.deepcopy(weighting.state_dict())
    own = {name: nn.Parameter(p.detach().clone()) for name, p in problem.parameters.items()}
    resumed = case.weighting(seed=case.seed + 1)
    try:
        resumed.load_state_dict(state)
    except RuntimeError as failure:
        raise AssertionError(f"a fresh weighting cannot load the state: {failure}") from failure
    again = trace(resumed, replace(problem, parameters=own), more, first=taken)
    expected = trace(weighting, problem, more, first=taken)
    require_same(again, expected, "continued from its state it differs")
