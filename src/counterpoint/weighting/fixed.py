"""Constant weights, 1 unless said otherwise."""

from pydantic import Field, NonNegativeFloat

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import (
    Decision,
    Problem,
    Weighting,
    as_floats,
    set_gradients,
)


class FixedSettings(Strict):
    """``weights`` by task name; tasks not named weigh 1, and so does a task that is alone."""

    weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)


class Fixed(Weighting):
    """Minimise the weighted sum of mean losses."""

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: FixedSettings
    ) -> None:
        super().__init__(tasks, targets)
        # a twin takes the joint model's settings, and a lone weight would but scale its decay
        given = settings.weights if len(tasks) > 1 else {}
        self.weights = {task: given.get(task, 1.0) for task in tasks}

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass of the weighted sum."""
        losses = problem.losses(problem.parameters)
        set_gradients(problem, losses.weighted_sum(self.weights))
        return Decision(as_floats(losses.means()), dict(self.weights))
