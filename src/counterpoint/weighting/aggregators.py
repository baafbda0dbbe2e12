"""Gradient surgery on the shared parameters, by the aggregators of torchjd."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import Decision, Problem, Weighting, as_floats
from counterpoint.weighting.gradients import set_from_tasks, task_gradients
from counterpoint.weighting.task_losses import in_order


class AggregatorSettings(Strict):
    """What torchjd's class is made with; most have nothing to set."""


class CAGradSettings(AggregatorSettings):
    """``c``: how far from the mean gradient, as a share of its norm."""

    c: NonNegativeFloat = 0.4


class MGDASettings(AggregatorSettings):
    """Stop the Frank-Wolfe search at steps below ``epsilon``, or after so many."""

    epsilon: PositiveFloat = 0.001
    max_iters: PositiveInt = 100


class AlignedMTLSettings(AggregatorSettings):
    """The singular value that all are made equal to."""

    scale_mode: Literal["min", "median", "rmse"] = "min"


class FairGradSettings(AggregatorSettings):
    """``alpha`` of fairness: 0 the mean gradient, 1 Nash's bargain, more favours the worst off."""

    alpha: NonNegativeFloat = 1.0


class Aggregated(Weighting):
    """Give the shared parameters what an aggregator makes of the tasks' gradients ``[T, P]``.

    Towers follow their own task, so the decision's weights are all 1; where the aggregator is a
    weighted sum, its weights are diagnostics. A task without a gradient, as after a batch without
    rows of it, is left out of the step: some aggregators would stop for it. One gradient alone is
    taken as it is.

    torchjd draws from torch's global state. Here that is made from a seed, drawn at the start, and
    the number of the step, so it is the same for every worker and after a resumption.
    """

    degree = 1.0  # twice the gradients give two to this power times the vector
    seed: Tensor
    step: Tensor

    def __init__(
        self,
        aggregator: str,
        tasks: tuple[str, ...],
        targets: tuple[str, ...],
        settings: AggregatorSettings,
    ) -> None:
        super().__init__(tasks, targets)
        self.aggregator, self.settings = aggregator, settings.model_dump()
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("step", torch.tensor(0))

    def fill_gradients(self, problem: Problem) -> Decision:
        """One backward pass a task, then the aggregator."""
        names = sorted(self.tasks)  # rows in one order: a random aggregator goes by their number
        losses = in_order(problem.losses(problem.parameters), names)
        gradients = task_gradients(problem, losses)
        there = gradients.norms != 0
        rows = gradients.shared if there.all() else gradients.shared[there]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(self.seed + self.step))
            shared, found = self._aggregated(rows) if len(rows) > 1 else alone(rows)
        self.step += 1
        set_from_tasks(problem, gradients, shared, [1.0] * len(names), losses.penalty)
        return Decision(
            as_floats(losses.means()),
            dict.fromkeys(self.tasks, 1.0),
            {} if found is None else shared_weights(names, there, found),
        )

    def _aggregated(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        from torchjd import aggregation

        aggregator = getattr(aggregation, self.aggregator)(**self.settings)
        said: list[Tensor] = []
        if isinstance(aggregator, aggregation.WeightedAggregator):
            aggregator.weighting.register_forward_hook(lambda _, given, found: said.append(found))
        # torchjd takes small gradients for none: CAGrad stops at a joint norm of 0.01
        scale = torch.linalg.matrix_norm(rows)
        vector = aggregator(rows / scale) * scale**self.degree
        return vector, said[0] * scale ** (self.degree - 1) if said else None


class FairGrad(Aggregated):
    r"""Weights :math:`G w = w^{-1/\alpha}` with the Gramian G (Ban and Ji 2024, eq. 4).

    At :math:`\alpha = 1` that is the Nash bargain of Navon et al. (2022).
    """

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: FairGradSettings
    ) -> None:
        super().__init__("FairGrad", tasks, targets, settings)
        self.degree = (1 - settings.alpha) / (1 + settings.alpha)


def alone(rows: Tensor) -> tuple[Tensor, Tensor]:
    """One gradient as it is, or zeros for none."""
    return rows.sum(dim=0), rows.new_ones(len(rows))


def shared_weights(names: list[str], there: Tensor, weights: Tensor) -> dict[str, float]:
    """Diagnostics of the weights of the tasks that are there; the others' are 0."""
    every = weights.new_zeros(len(names))
    every[there] = weights
    return {f"shared_weight/{t}": w for t, w in zip(names, every.tolist(), strict=True)}


Method = Callable[[tuple[str, ...], tuple[str, ...], Any], Weighting]

# Name in the grid to how it is made. What torchjd has and is not here: what goes by the place of a
# task or is for adversaries (PCD, Krum, TrimmedMean), what other weightings do (Mean, Sum,
# Constant), what keeps state of its own (GradVac, ExcessMTL), and NashMTL, which takes half a
# second a step and where its solver fails returns equal weights; FairGrad finds the same bargain.
AGGREGATORS: dict[str, tuple[Method, type[AggregatorSettings]]] = {
    "pcgrad": (partial(Aggregated, "PCGrad"), AggregatorSettings),
    "cagrad": (partial(Aggregated, "CAGrad"), CAGradSettings),
    "mgda": (partial(Aggregated, "MGDA"), MGDASettings),
    "upgrad": (partial(Aggregated, "UPGrad"), AggregatorSettings),
    "dual_proj": (partial(Aggregated, "DualProj"), AggregatorSettings),
    "imtl_g": (partial(Aggregated, "IMTLG"), AggregatorSettings),
    "aligned_mtl": (partial(Aggregated, "AlignedMTL"), AlignedMTLSettings),
    "conflict_free": (partial(Aggregated, "ConFIG"), AggregatorSettings),
    "fair_grad": (FairGrad, FairGradSettings),
}
