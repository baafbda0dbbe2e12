"""What holds of a single step: gradients that are all there, own, weighted and finite."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from counterpoint.weighting.checks.case import (
    Case,
    require,
    require_equal,
    require_finite,
    with_rows,
)
from counterpoint.weighting.contract import Losses, Parameters


def fills_every_gradient(case: Case) -> None:
    """Every parameter gets a gradient of this step alone, every task a loss and a weight."""
    clean, dirty = case.problem, case.problem
    decision = case.weighting().fill_gradients(clean)
    require_finite(decision, clean, "on a plain batch")
    for what in ("losses", "weights"):
        named = set(getattr(decision, what))
        require(named == set(case.tasks), f"{what} of the decision are of {sorted(named)}")
    for parameter in dirty.parameters.values():
        parameter.grad = torch.full_like(parameter, 7.0)
    case.weighting().fill_gradients(dirty)
    for name, parameter in dirty.parameters.items():
        grad, expected = parameter.grad, clean.parameters[name].grad
        assert grad is not None
        assert expected is not None
        require(torch.equal(grad, expected), f"gradient of {name} is added to what was there")
        require(not grad.requires_grad, f"gradient of {name} holds a graph")


def moves_no_parameter(case: Case) -> None:
    """The parameters are the optimiser's to move."""
    problem = case.problem
    case.weighting().fill_gradients(problem)
    for name, parameter in problem.parameters.items():
        same = torch.equal(parameter, case.given.parameters[name])
        require(same and parameter.requires_grad, f"fill_gradients changes the parameter {name}")


def towers_are_only_weighted(case: Case) -> None:
    """A tower's gradient is its task's own, times the weight that was decided."""
    problem = case.problem
    decision = case.weighting().fill_gradients(problem)
    losses = problem.losses(problem.parameters)
    for task, loss in losses.per_example.items():
        weight = decision.of_examples.get(task, decision.weights[task])
        tower = {name: problem.parameters[name] for name in problem.groups[f"tower:{task}"]}
        if not tower:
            continue
        total = (weight * loss).mean() + losses.penalty
        expected = torch.autograd.grad(
            total, list(tower.values()), retain_graph=True, materialize_grads=True
        )
        for (name, parameter), gradient in zip(tower.items(), expected, strict=True):
            assert parameter.grad is not None
            fault = f"gradient of {name} is not the weight of {task} times its own"
            require_equal(parameter.grad, gradient, fault)


def penalties_are_not_weighted(case: Case) -> None:
    """The model's penalties pass as they are; what nothing reaches has zeros."""
    extra = nn.Parameter(torch.ones(2, dtype=next(iter(case.problem.parameters.values())).dtype))
    plain = case.problem

    def penalised(parameters: Parameters) -> Losses:
        found = plain.losses(parameters)
        return replace(found, penalty=found.penalty + parameters["extra"].square().sum())

    problem = replace(
        plain,
        losses=penalised,
        parameters={**plain.parameters, "extra": extra},
        groups={**plain.groups, "shared": [*plain.groups["shared"], "extra"]},
    )
    case.weighting().fill_gradients(problem)
    require(extra.grad is not None, "no gradient for a parameter that is penalised alone")
    assert extra.grad is not None
    require_equal(extra.grad, 2 * extra.detach(), "a penalty is not passed on as it is")
    bare = replace(problem, losses=plain.losses)
    case.weighting().fill_gradients(bare)
    grad = bare.parameters["extra"].grad
    reached = grad is None or bool(grad.any())
    require(not reached, "a parameter that no loss reaches has no gradient of zeros")


def _changed(
    chosen: tuple[str, ...], change: Callable[[Tensor], Tensor], task: str, losses: Tensor
) -> Tensor:
    return change(losses) if task in chosen else losses


def poor_batches_do_no_harm(case: Case) -> None:
    """Batches without rows, and batches of losses 0, as of one class that is predicted already.

    Each stands for an epoch, which two ordinary ones follow.
    """
    for chosen in (*((task,) for task in case.tasks), case.tasks):
        for where, poor in (
            (f"after an empty batch of {', '.join(chosen)}", lambda x: x[:0]),
            (f"after losses of 0 of {', '.join(chosen)}", lambda x: 0 * x),
        ):
            weighting, problem = case.weighting(), case.problem
            rows = partial(_changed, chosen, poor)
            for epoch, step in enumerate((with_rows(problem, rows), problem, problem)):
                decision = weighting.fill_gradients(replace(step, epoch=epoch))
                require_finite(decision, problem, where)
