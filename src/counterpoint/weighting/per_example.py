"""Derivatives of every example's loss along one direction, without a pass an example."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from counterpoint.weighting.contract import Parameters

Method = Literal["forward", "double", "difference"]
PerExample = dict[str, Tensor]  # task -> [n]
Function = Callable[[Parameters], PerExample]


@dataclass(frozen=True)
class RandomState:
    """Torch's random state now, so that a function can be evaluated again with its dropout."""

    cpu: Tensor
    cuda: list[Tensor]

    @classmethod
    def now(cls) -> "RandomState":
        """The state of all devices."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(torch.get_rng_state(), cuda)

    @contextmanager
    def again(self) -> Iterator[None]:
        """As it was, inside."""
        with torch.random.fork_rng():
            torch.set_rng_state(self.cpu)
            if self.cuda:
                torch.cuda.set_rng_state_all(self.cuda)
            yield


def along(
    losses: Function, at: Parameters, direction: Mapping[str, Tensor], method: Method
) -> PerExample:
    """``<direction, gradient of the loss>`` of every example ``[n]``.

    ``forward`` is one pass in forward mode. ``double`` differentiates the gradient of the sum of
    losses times ones by the ones, and needs operations with a second derivative. ``difference``
    takes two passes at a small distance each side; its error is quadratic in the distance.
    """
    own = {name: tensor.detach() for name, tensor in at.items()}
    if method == "forward":
        with torch.no_grad():  # of reverse mode, which would keep a graph for nobody
            found: PerExample = torch.func.jvp(losses, (own,), (dict(direction),))[1]
        return found
    other = _by_double if method == "double" else _by_difference
    return other(losses, own, direction)


def _by_double(losses: Function, at: Parameters, direction: Mapping[str, Tensor]) -> PerExample:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in at.items()}
    per_example = losses(leaves)
    ones = {task: torch.ones_like(loss, requires_grad=True) for task, loss in per_example.items()}
    total = torch.stack([(ones[task] * loss).sum() for task, loss in per_example.items()]).sum()
    gradients = torch.autograd.grad(
        total, list(leaves.values()), create_graph=True, materialize_grads=True
    )
    product = torch.stack(
        [(g * direction[name]).sum() for name, g in zip(leaves, gradients, strict=True)]
    ).sum()
    found = torch.autograd.grad(product, list(ones.values()), materialize_grads=True)
    return dict(zip(ones, found, strict=True))


def _by_difference(losses: Function, at: Parameters, direction: Mapping[str, Tensor]) -> PerExample:
    norm = torch.stack([part.square().sum() for part in direction.values()]).sum().sqrt()
    # rounding grows as the distance falls, so a shorter one is for float64 alone
    distance = 1e-4 if norm.dtype == torch.float64 else 1e-2
    scale = distance / norm.clamp(min=torch.finfo(norm.dtype).tiny)
    with torch.no_grad():
        after, before = (
            losses({name: tensor + sign * scale * direction[name] for name, tensor in at.items()})
            for sign in (1, -1)
        )
    return {task: (after[task] - before[task]) / (2 * scale) for task in after}
