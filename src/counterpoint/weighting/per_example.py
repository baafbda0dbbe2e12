"""Derivatives of every example's loss along one direction, without a pass an example."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from counterpoint.weighting.contract import Parameters
from counterpoint.weighting.gradients import gradients_of

Method = Literal["backward", "forward", "double", "difference"]
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


def transposed(
    gradient: Mapping[str, Tensor], weights: Tensor, direction: Mapping[str, Tensor]
) -> Tensor:
    """Derivative ``[R]`` by the weights of ``<direction, gradient>``, which is linear in them.

    ``gradient`` by name was taken with its graph of losses times ``weights``, a leaf. The pass
    goes back through the linear part of that graph alone: nothing is differentiated twice, yet
    the operations must be known to autograd as functions of what is sent back through them.
    """
    reached = [name for name, part in gradient.items() if part.requires_grad]
    if not reached:
        return torch.zeros_like(weights)
    (found,) = torch.autograd.grad(
        [gradient[name] for name in reached],
        weights,
        [direction[name].to(gradient[name]) for name in reached],
        materialize_grads=True,
    )
    return found


def along(
    losses: Function, at: Parameters, direction: Mapping[str, Tensor], method: Method
) -> PerExample:
    """``<direction, gradient of the loss>`` of every example ``[n]``, evaluated anew.

    ``forward`` is one pass in forward mode. ``double`` goes back through the gradient of the sum of
    losses times ones, by the ones. ``difference`` takes two passes at a small distance each side;
    its error is quadratic in the distance.
    """
    own = {name: tensor.detach() for name, tensor in at.items()}
    if method == "double":
        return _by_double(losses, own, direction)
    if method == "difference":
        return _by_difference(losses, own, direction)
    with torch.no_grad():  # of reverse mode, which would keep a graph for nobody
        found: PerExample = torch.func.jvp(losses, (own,), (dict(direction),))[1]
    return found


def _by_double(losses: Function, at: Parameters, direction: Mapping[str, Tensor]) -> PerExample:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in at.items()}
    per_example = losses(leaves)
    rows = torch.cat(list(per_example.values()))
    ones = torch.ones_like(rows, requires_grad=True)
    found = gradients_of((ones * rows).sum(), leaves, list(leaves), create_graph=True)
    sizes = [len(loss) for loss in per_example.values()]
    by_task = torch.split(transposed(found, ones, direction), sizes)
    return dict(zip(per_example, by_task, strict=True))


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
