"""AUX-TS: task weights learned from gradient similarity (arXiv 2107.08765), exactly and cheaply.

The virtual step is affine in the weights, so the meta-gradient needs no second derivative:
with gradients g_i, virtual parameters ``p - alpha * sum_i w_i g_i`` and v the gradient of the
target loss there, ``d loss / d w_i = -alpha <v, g_i>``.
"""

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import (
    Decision,
    Losses,
    Parameters,
    Problem,
    Weighting,
    as_floats,
)

Gradients = dict[str, dict[str, Tensor]]  # task -> parameter -> gradient of the task's mean loss


class AuxTSSettings(Strict):
    """``virtual_rate`` None takes the model optimiser's learning rate.

    ``meta_batch`` says whose loss judges the weights: the same batch, as in the paper, which
    always pushes the target's weight up, or the targets' next batch.
    """

    meta_batch: Literal["next", "same"] = "next"
    hidden: PositiveInt = 1000
    learning_rate: PositiveFloat = 1e-3
    similarities: Literal["one", "all"] = "one"
    normalise: Literal["none", "sum_to_T"] = "sum_to_T"
    virtual_rate: PositiveFloat | None = None


class AuxTS(Weighting):
    """Weights ``w_i = V(z_i)``; V is trained on the targets' loss after a virtual step.

    ``z_i`` holds task i's loss, its one-hot type and cosines of gradients on the shared
    parameters: with ``one``, a cosine to each target; with ``all``, the cosines of every task to
    every target on each row. The meta-loss is the targets' loss; several targets are each divided
    by their loss at the first step. Real gradients are the weighted sum of those in hand.
    """

    initial: Tensor

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: AuxTSSettings
    ) -> None:
        super().__init__(tasks, targets)
        self.settings = settings
        self.needs_meta_batch = settings.meta_batch == "next"
        pairs = len(targets) * (len(tasks) if settings.similarities == "all" else 1)
        self.network = nn.Sequential(
            nn.Linear(1 + len(tasks) + pairs, settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, 1),
            nn.Softplus(),
        )
        self.register_buffer("initial", torch.zeros(len(targets)))
        self.optimizer = torch.optim.Adam(self.network.parameters(), settings.learning_rate)

    def fill_gradients(self, problem: Problem) -> Decision:
        """Algorithm 1: gradients, similarities, virtual step, update of V, real gradients."""
        losses = problem.losses(problem.parameters)
        means = losses.means()
        gradients = self._task_gradients(problem, means)
        cosines = self._cosines(problem, gradients)
        z = self._signals(problem, means, cosines)
        rate = self.settings.virtual_rate or problem.learning_rate
        derivative = self._meta_derivative(problem, gradients, self.weights(z).detach(), rate)
        self._move(z, derivative)
        weights = self.weights(z).detach()
        self._set_real_gradients(problem, gradients, weights, losses)
        by_task = dict(zip(self.tasks, weights.tolist(), strict=True))
        return Decision(as_floats(means), by_task, self._diagnostics(cosines, derivative))

    def weights(self, z: Tensor) -> Tensor:
        """``[T]`` weights from signals ``[T, F]``, normalised as set."""
        raw: Tensor = self.network(z).squeeze(-1)
        if self.settings.normalise == "none":
            return raw
        return raw * len(raw) / raw.sum().clamp(min=1e-12)

    def _task_gradients(self, problem: Problem, means: dict[str, Tensor]) -> Gradients:
        gradients: Gradients = {}
        for task in self.tasks:
            names = [*problem.groups["shared"], *problem.groups[f"tower:{task}"]]
            tensors = [problem.parameters[name] for name in names]
            found = torch.autograd.grad(means[task], tensors, retain_graph=True, allow_unused=True)
            gradients[task] = {
                name: problem.reduce(torch.zeros_like(tensor) if g is None else g)
                for name, tensor, g in zip(names, tensors, found, strict=True)
            }
        return gradients

    def _cosines(self, problem: Problem, gradients: Gradients) -> Tensor:
        """``[T, targets]`` cosines on the shared parameters."""
        shared = problem.groups["shared"]

        def product(a: str, b: str) -> Tensor:
            return torch.stack(
                [(gradients[a][name] * gradients[b][name]).sum() for name in shared]
            ).sum()

        norms = {task: product(task, task).sqrt().clamp(min=1e-12) for task in self.tasks}
        rows = [
            torch.stack(
                [
                    product(a, b) / (norms[a] * norms[b]) if a != b else norms[a].new_ones(())
                    for b in self.targets
                ]
            )
            for a in self.tasks
        ]
        return torch.stack(rows)

    def _signals(self, problem: Problem, means: dict[str, Tensor], cosines: Tensor) -> Tensor:
        losses = problem.reduce(torch.stack([means[task].detach() for task in self.tasks]))
        first = losses[[self.tasks.index(task) for task in self.targets]]
        # a target without rows has no first loss yet
        self.initial.copy_(torch.where(self.initial == 0, first, self.initial))
        if self.settings.similarities == "all":
            cosines = cosines.flatten().expand(len(self.tasks), -1)
        types = torch.eye(len(self.tasks), dtype=losses.dtype, device=losses.device)
        z = torch.cat([losses[:, None], types, cosines], dim=1)
        return z.to(self.initial.dtype)

    def _meta_derivative(
        self, problem: Problem, gradients: Gradients, weights: Tensor, rate: float
    ) -> Tensor:
        """``[T]``: derivative of the meta-loss by each weight, ``-rate <v, g_i>``."""
        moved: dict[str, Tensor] = {
            name: p.detach().clone() for name, p in problem.parameters.items()
        }
        for weight, task in zip(weights.tolist(), self.tasks, strict=True):
            for name, gradient in gradients[task].items():
                moved[name].sub_(gradient, alpha=rate * weight)
        for tensor in moved.values():
            tensor.requires_grad_()
        v = self._meta_gradient(problem, moved)
        products = [
            torch.stack([(v[name] * g).sum() for name, g in gradients[task].items()]).sum()
            for task in self.tasks
        ]
        return -rate * torch.stack(products)

    def _meta_gradient(self, problem: Problem, parameters: Parameters) -> dict[str, Tensor]:
        means = problem.meta_losses(parameters).means()
        alone = len(self.targets) == 1
        scale = torch.where((self.initial == 0) | alone, 1.0, self.initial)
        terms = [means[task] / scale[place] for place, task in enumerate(self.targets)]
        names = list(parameters)
        found = torch.autograd.grad(
            torch.stack(terms).sum(), [parameters[name] for name in names], allow_unused=True
        )
        return {
            name: problem.reduce(torch.zeros_like(parameters[name]) if g is None else g)
            for name, g in zip(names, found, strict=True)
        }

    def _move(self, z: Tensor, derivative: Tensor) -> None:
        """One step of V on the surrogate ``sum_i sg(c_i) w_i(phi)``."""
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        surrogate = (derivative.to(z) * self.weights(z)).sum()
        torch.autograd.backward(surrogate)
        self.optimizer.step()

    def _set_real_gradients(
        self, problem: Problem, gradients: Gradients, weights: Tensor, losses: Losses
    ) -> None:
        totals: dict[str, Tensor] = {}
        for weight, task in zip(weights.tolist(), self.tasks, strict=True):
            for name, gradient in gradients[task].items():
                part = gradient * weight
                totals[name] = totals[name] + part if name in totals else part
        for name, parameter in problem.parameters.items():
            parameter.grad = totals.get(name, torch.zeros_like(parameter))
        if isinstance(losses.penalty, Tensor) and losses.penalty.requires_grad:
            tensors = list(problem.parameters.values())
            extra = torch.autograd.grad(losses.penalty, tensors, allow_unused=True)
            for parameter, g in zip(tensors, extra, strict=True):
                if g is not None and parameter.grad is not None:
                    parameter.grad = parameter.grad + problem.reduce(g)

    def _diagnostics(self, cosines: Tensor, derivative: Tensor) -> dict[str, float]:
        found = {
            f"meta_derivative/{t}": float(c) for t, c in zip(self.tasks, derivative, strict=True)
        }
        for row, task in zip(cosines, self.tasks, strict=True):
            for value, target in zip(row, self.targets, strict=True):
                if task != target:
                    found[f"cosine/{task}~{target}"] = float(value)
        return found
