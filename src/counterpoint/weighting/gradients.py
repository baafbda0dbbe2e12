"""The gradient of every task's mean loss: what similarities, surgery and meta-gradients need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from counterpoint.weighting.contract import Losses, Problem

TINY = 1e-12


@dataclass(frozen=True)
class TaskGradients:
    """Gradients of T mean losses, over all workers' rows.

    Shapes:
        shared ``[T, P]``: the shared parameters, flattened one after the other.
        towers: each task's own parameters by name. What a loss does not reach is zero.
    """

    shared: Tensor
    towers: tuple[dict[str, Tensor], ...]

    def cosines(self, columns: Sequence[int]) -> Tensor:
        """``[T, len(columns)]`` cosines on the shared parameters; exactly 1 to itself."""
        # a vector at a time: for so few rows the product of matrices is slower
        products = torch.stack([self.shared @ self.shared[column] for column in columns], 1)
        norms = self.norms.clamp(min=TINY)
        found = products / (norms[:, None] * norms[list(columns)])
        for place, task in enumerate(columns):
            found[task, place] = 1.0
        return found

    @cached_property
    def norms(self) -> Tensor:
        """``[T]`` norms on the shared parameters."""
        found: Tensor = torch.linalg.vector_norm(self.shared, dim=1)
        return found

    def combined(
        self, problem: Problem, shared: Tensor, tower_weights: Sequence[float]
    ) -> dict[str, Tensor]:
        """By name: ``shared [P]`` in its parts, and each tower's own gradient times a weight.

        Towers of several tasks may hold the same parameter; its parts add up.
        """
        totals = split(problem, shared)
        for weight, tower in zip(tower_weights, self.towers, strict=True):
            for name, gradient in tower.items():
                part = gradient * weight
                totals[name] = totals[name] + part if name in totals else part
        return {
            name: totals[name] if name in totals else torch.zeros_like(parameter)
            for name, parameter in problem.parameters.items()
        }

    def products(self, problem: Problem, vector: Mapping[str, Tensor]) -> Tensor:
        """``[T]`` inner products of each task's gradient with a vector by name."""
        flat = torch.cat([vector[name].flatten() for name in problem.groups["shared"]])
        own = [
            sum((vector[name] * gradient).sum() for name, gradient in tower.items())
            for tower in self.towers
        ]
        return self.shared @ flat + torch.stack([flat.new_zeros(()) + part for part in own])


def task_gradients(problem: Problem, losses: Losses) -> TaskGradients:
    """One backward pass a task; the graph of the losses stays."""
    shared, means = problem.groups["shared"], losses.means()
    sizes = [problem.parameters[name].numel() for name in shared]
    like = problem.parameters[shared[0]]
    # written in place, row by row: with embedding tables these are the largest tensors of a step
    rows = torch.empty(len(means), sum(sizes), dtype=like.dtype, device=like.device)
    towers = []
    for row, (task, loss) in zip(rows, means.items(), strict=True):
        own = problem.groups[f"tower:{task}"]
        found = gradients_of(loss, problem.parameters, [*shared, *own])
        for part, name in zip(torch.split(row, sizes), shared, strict=True):
            part.view_as(found[name]).copy_(found[name])
        row.copy_(problem.reduce(row))
        towers.append({name: problem.reduce(found[name]) for name in own})
    return TaskGradients(rows, tuple(towers))


def gradients_of(
    total: Tensor,
    parameters: Mapping[str, Tensor],
    names: Sequence[str],
    *,
    create_graph: bool = False,
) -> dict[str, Tensor]:
    """Gradient of a scalar by name, zero where it does not reach; the graph stays."""
    tensors = [parameters[name] for name in names]
    if not total.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in zip(names, tensors, strict=True)}
    found = torch.autograd.grad(
        total, tensors, retain_graph=True, create_graph=create_graph, allow_unused=True
    )
    return {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for name, tensor, gradient in zip(names, tensors, found, strict=True)
    }


def split(problem: Problem, flat: Tensor) -> dict[str, Tensor]:
    """The shared parameters' parts of a vector ``[P]``, by name, in their shapes."""
    names = problem.groups["shared"]
    sizes = [problem.parameters[name].numel() for name in names]
    return {
        name: part.view_as(problem.parameters[name])
        for name, part in zip(names, torch.split(flat, sizes), strict=True)
    }


def set_from_tasks(
    problem: Problem,
    gradients: TaskGradients,
    shared: Tensor,
    tower_weights: Sequence[float],
    penalty: Tensor | float,
) -> None:
    """Set ``grad``: ``shared [P]``, each tower's own gradient times a weight, and the penalty's."""
    for name, gradient in gradients.combined(problem, shared, tower_weights).items():
        problem.parameters[name].grad = gradient
    add_penalty(problem, penalty)


def add_penalty(problem: Problem, penalty: Tensor | float) -> None:
    """Add the gradient of the model's penalties, which no weighting touches."""
    if isinstance(penalty, Tensor) and penalty.requires_grad:
        for name, gradient in gradients_of(
            penalty, problem.parameters, list(problem.parameters)
        ).items():
            parameter = problem.parameters[name]
            parameter.grad = problem.reduce(gradient) + (
                0.0 if parameter.grad is None else parameter.grad
            )
