"""A small perceptron with a tower a task, whose losses and gradients are known in every order."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from counterpoint.weighting import Losses, Problem
from counterpoint.weighting.contract import AdamState

Labels = Mapping[str, Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def perceptron(
    labels: Labels,
    x: Tensor,
    *,
    meta: tuple[Tensor, Labels] | None = None,
    scale: Mapping[str, float] | None = None,
    towers: bool = True,
    rate: float = 0.05,
    clip: float = float("inf"),
    steps: int = 0,
) -> Problem:
    """Squared errors of ``tanh(x W + b) v_t``, times the task's scale; without towers all v are 1.

    ``meta`` holds other rows and labels that judge the weights. ``steps`` Adam has taken, with
    moments out of the air.
    """
    values = {"shared.weight": drawn(x.shape[1], 6, seed=1), "shared.bias": drawn(6, seed=2)}
    if towers:
        values |= {f"tower.{task}": drawn(6, seed=3 + k) for k, task in enumerate(labels)}
    parameters = {name: nn.Parameter(0.5 * value) for name, value in values.items()}

    def losses_on(rows: Tensor, y: Labels) -> Callable[[Mapping[str, Tensor]], Losses]:
        def losses(at: Mapping[str, Tensor]) -> Losses:
            h = (rows @ at["shared.weight"] + at["shared.bias"]).tanh()
            per_example = {}
            for task, label in y.items():
                output = h @ (at[f"tower.{task}"] if towers else h.new_ones(6))
                factor = 1.0 if scale is None else scale.get(task, 1.0)
                per_example[task] = factor * (output - label) ** 2
            return Losses(per_example, labels=dict(y))

        return losses

    groups = {"shared": ["shared.weight", "shared.bias"], "last_shared": ["shared.weight"]}
    groups |= {f"tower:{task}": [f"tower.{task}"] if towers else [] for task in labels}
    losses = losses_on(x, labels)
    judged = losses if meta is None else losses_on(*meta)
    state = {
        name: AdamState(
            0.1 * drawn(*p.shape, seed=60 + k), 0.01 + drawn(*p.shape, seed=70 + k).square(), steps
        )
        for k, (name, p) in enumerate(parameters.items())
    }
    return Problem(
        losses,
        judged,
        parameters,
        groups,
        learning_rate=rate,
        clip=clip,
        optimizer_state=lambda: state if steps else {},
    )


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    return perceptron


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    return drawn


@pytest.fixture
def make_constant() -> Callable[..., Problem]:
    """Make a problem whose losses are given numbers that no parameter can change."""

    def constant(losses: Mapping[str, float], rows: int = 4) -> Problem:
        parameters = {"shared": nn.Parameter(torch.zeros(1))}

        def of(at: Mapping[str, Tensor]) -> Losses:
            zero = at["shared"] * torch.zeros(rows)
            return Losses({task: zero + loss for task, loss in losses.items()})

        groups = {"shared": ["shared"], "last_shared": ["shared"]}
        groups |= {f"tower:{task}": [] for task in losses}
        return Problem(of, of, parameters, groups, learning_rate=0.01)

    return constant
