"""One step of the optimiser in thought, and the way back through it.

A virtual step is affine in the gradient G that it takes, ``p' = p - rate D (offset + factor G)``
with D diagonal, so the derivative of a loss there by any number that G depends on linearly needs
no second derivative: with v the gradient of the loss at p', ``dL/dw = <u, dG/dw>`` where
``u = -rate factor D v``. Clipping adds a projection.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import AdamState, Problem
from counterpoint.weighting.gradients import TINY

Named = Mapping[str, Tensor]


class VirtualStepSettings(Strict):
    """What the virtual step imitates of the real one.

    ``optimizer`` sgd: the plain gradient. momentum: Adam's first moment, bias-corrected. adam:
    that over the root of the second moment as it was before the step (were the preconditioner to
    follow G, it would nearly cancel its scale in the first steps). ``rate`` None takes the model
    optimiser's learning rate; ``clip`` shortens G as the real step does.
    """

    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    rate: PositiveFloat | None = None
    clip: bool = False


@dataclass(frozen=True)
class VirtualStep:
    """Parameters after the step, leaves of their own; ``back`` maps v to u, by name."""

    parameters: dict[str, Tensor]
    back: Callable[[Named], dict[str, Tensor]]


def virtual_step(problem: Problem, total: Named, settings: VirtualStepSettings) -> VirtualStep:
    """Move the model's parameters along ``total``, their gradient by name."""
    rate = settings.rate or problem.learning_rate
    kept, back_through_clip = _clipped(total, problem.clip if settings.clip else float("inf"))
    memory = problem.optimizer_state() if settings.optimizer != "sgd" else {}
    parameters: dict[str, Tensor] = {}
    scales: dict[str, Tensor | float] = {}
    for name, parameter in problem.parameters.items():
        gradient = kept[name]
        state = memory.get(name)
        if state is None or not state.step:  # the first step of Adam's mean is the gradient
            scales[name] = -rate
            parameters[name] = parameter.detach() - rate * gradient
        else:
            offset, scale = _remembered(state, settings.optimizer, rate)
            scales[name] = scale
            parameters[name] = parameter.detach() + offset + scale * gradient
        parameters[name].requires_grad_()

    def back(v: Named) -> dict[str, Tensor]:
        return back_through_clip({name: scales[name] * part for name, part in v.items()})

    return VirtualStep(parameters, back)


def _remembered(state: AdamState, optimizer: str, rate: float) -> tuple[Tensor, Tensor | float]:
    """What moves the parameter without G, and the (diagonal) factor of G."""
    first, second = state.betas
    correction = 1 - first ** (state.step + 1)
    scale: Tensor | float = -rate
    if optimizer == "adam":
        scale = -rate / ((state.square / (1 - second**state.step)).sqrt() + state.eps)
    return scale * state.mean * (first / correction), scale * ((1 - first) / correction)


def _identity(v: Named) -> dict[str, Tensor]:
    return dict(v)


def _clipped(total: Named, limit: float) -> tuple[Named, Callable[[Named], dict[str, Tensor]]]:
    """The gradient shortened to ``limit``, and the transposed Jacobian of that."""
    if limit == float("inf"):
        return total, _identity
    norm = torch.stack([part.square().sum() for part in total.values()]).sum().sqrt()
    if norm <= limit:
        return total, _identity
    unit = {name: part / norm.clamp(min=TINY) for name, part in total.items()}
    short = {name: limit * part for name, part in unit.items()}
    return short, partial(_project, unit, limit / norm)


def _project(unit: Named, factor: Tensor, v: Named) -> dict[str, Tensor]:
    along = torch.stack([(unit[name] * part).sum() for name, part in v.items()]).sum()
    return {name: factor * (part - along * unit[name]) for name, part in v.items()}
