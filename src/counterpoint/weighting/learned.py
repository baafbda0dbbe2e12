"""Weights by a small network of what is known of each loss, trained on the targets' loss.

``w = V(z)``; the model takes a virtual step on the weighted losses, and V moves so that the
targets' loss after that step falls. The step is affine in the weights, so V's gradient needs no
second derivative: with u as :mod:`counterpoint.weighting.virtual_step` has it, the derivative by
the weight of a loss is ``<u, gradient of that loss>``, exactly.

A task's *rows* are what V sees of it: its mean loss alone, or every example's loss.
"""

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from counterpoint.data.schema import Strict
from counterpoint.weighting.contract import (
    Decision,
    Losses,
    MetaRows,
    Parameters,
    Problem,
    Weighting,
    as_floats,
)
from counterpoint.weighting.gradients import (
    TaskGradients,
    add_penalty,
    gradients_of,
    task_gradients,
)
from counterpoint.weighting.per_example import Method, PerExample, RandomState, along
from counterpoint.weighting.virtual_step import VirtualStepSettings, virtual_step
from counterpoint.weighting.weight_network import WeightNetwork
from counterpoint.weighting.weighted_losses import Rows, WeightedLosses


class LearnedSettings(Strict):
    """Of the network V, its training and its output.

    ``meta_batch`` says whose loss judges the weights: the targets' next batch; the same batch, as
    in AUX-TS, which always pushes the targets' weights up; or a third of the targets' rows, which
    are not trained on in that epoch, as in SELAR. ``normalise`` sum_to_T: mean weights of the
    tasks sum to their number; selar: each task weighs by its share of the rows, over the mean
    weight of the targets' rows.
    """

    granularity: Literal["task", "example"] = "task"
    meta_batch: Literal["next", "same", "fold"] = "next"
    hidden: PositiveInt = 1000
    output: Literal["softplus", "sigmoid"] = "softplus"
    learning_rate: PositiveFloat = 1e-3
    normalise: Literal["none", "sum_to_T", "selar"] = "sum_to_T"
    virtual: VirtualStepSettings = VirtualStepSettings()
    derivative: Method = "backward"


class LearnedWeighting(Weighting):
    """Network, virtual step, derivative and real step; what z holds is the subclass's."""

    initial: Tensor

    def __init__(
        self,
        tasks: tuple[str, ...],
        targets: tuple[str, ...],
        settings: LearnedSettings,
        signals: int,
    ) -> None:
        super().__init__(tasks, targets)
        self.settings = settings
        self.network = WeightNetwork(1 + len(tasks) + signals, settings.hidden, settings.output)
        self.judges = [tasks.index(task) for task in targets]
        self.register_buffer("initial", torch.zeros(len(targets)))
        self.optimizer = torch.optim.Adam(self.network.parameters(), settings.learning_rate)

    @property
    def meta_rows(self) -> MetaRows:
        """As set; ``same`` asks for no rows of their own."""
        chosen = self.settings.meta_batch
        return "none" if chosen == "same" else chosen

    @abstractmethod
    def wants_gradients(self) -> bool:
        """Whether this step's signals need the gradient of every task."""

    @abstractmethod
    def signals(
        self, problem: Problem, losses: Losses, gradients: TaskGradients | None
    ) -> list[Tensor]:
        """Beside loss and type, for each task, ``[n, S]`` a row or ``[1, S]`` for all its rows."""

    def minimised(self, losses: Losses) -> Losses:
        """The losses that are weighed and minimised: here the model's."""
        return losses

    def fill_gradients(self, problem: Problem) -> Decision:
        """Gradients, signals, virtual step, update of V, real gradients by the new weights."""
        random = RandomState.now()
        given = problem.losses(problem.parameters).ordered(self.tasks)
        losses = self.minimised(given)
        gradients = task_gradients(problem, losses) if self.wants_gradients() else None
        self._keep_first_losses(problem, losses)
        rows = self._rows(problem, losses, gradients)
        by_example = self.settings.granularity == "example"
        weighted = WeightedLosses(
            problem,
            losses,
            rows,
            None if by_example else gradients,
            by_example,
            None
            if self.settings.derivative == "backward"
            else partial(self.slopes, problem, losses, random),
        )
        raw = self.network.values(rows.z)
        weights = self._weights(problem, rows, raw)
        total, derivative_along = weighted.linear(weights)
        step = virtual_step(problem, total, self.settings.virtual)
        derivative = derivative_along(step.back(self._meta_gradient(problem, step.parameters)))
        self._move(problem, rows, raw, weights, derivative)
        weights = self._weights(problem, rows, self.network.values(rows.z))
        losses = self.minimised(given)
        for name, gradient in replace(weighted, losses=losses).gradient(weights).items():
            problem.parameters[name].grad = gradient
        add_penalty(problem, losses.penalty)
        means = problem.reduce(rows.means(weights)).tolist()
        return Decision(
            as_floats(losses.means()),
            dict(zip(self.tasks, means, strict=True)),
            self._diagnostics(rows, weights, derivative.detach(), gradients) | self.said_of(losses),
            self._of_examples(rows, weights),
        )

    def _of_examples(self, rows: Rows, weights: Tensor) -> dict[str, Tensor]:
        if self.settings.granularity == "task":
            return {}
        return dict(zip(self.tasks, torch.split(weights, rows.counts.tolist()), strict=True))

    def _keep_first_losses(self, problem: Problem, losses: Losses) -> None:
        means = losses.means()
        first = problem.reduce(torch.stack([means[task].detach() for task in self.targets]))
        # a target without rows has no first loss yet
        self.initial.copy_(torch.where(self.initial == 0, first, self.initial))

    def _rows(self, problem: Problem, losses: Losses, gradients: TaskGradients | None) -> Rows:
        sizes = [len(loss) for loss in losses.per_example.values()]
        if self.settings.granularity == "example":
            shown = [loss.detach() for loss in losses.per_example.values()]
        else:
            means = torch.stack([loss.detach() for loss in losses.means().values()])
            shown = list(torch.split(problem.reduce(means), 1))
        types = torch.eye(len(shown), dtype=shown[0].dtype, device=shown[0].device)
        signals = self.signals(problem, losses, gradients)
        z = [
            torch.cat(
                [loss[:, None], types[[place]].expand(len(loss), -1), extra.expand(len(loss), -1)],
                dim=1,
            )
            for place, (loss, extra) in enumerate(zip(shown, signals, strict=True))
        ]
        counts = torch.tensor([len(loss) for loss in shown], device=types.device)
        task = torch.arange(len(shown), device=types.device).repeat_interleave(counts)
        share, part = self._scaling(sizes, task, 1 / counts[task].to(self.initial))
        return Rows(torch.cat(z).to(self.initial.dtype), task, counts, share, part)

    def _scaling(
        self, sizes: list[int], task: Tensor, of_its_task: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """``share`` and ``part`` of the rows, from the part ``[R]`` of its task that a row is."""
        share = torch.ones_like(of_its_task)
        if self.settings.normalise == "none":
            return share, None
        if self.settings.normalise == "sum_to_T":
            return share, of_its_task / len(sizes)
        judges = share.new_tensor([place in self.judges for place in range(len(sizes))])
        share = share.new_tensor(sizes)[task] / max(sum(sizes), 1)
        return share, of_its_task * judges[task] / len(self.judges)

    def _level(self, problem: Problem, rows: Rows, raw: Tensor) -> Tensor:
        if rows.part is None:
            return raw.new_ones(())
        level = problem.reduce((rows.part * raw).sum())
        return torch.where(level > 0, level, 1.0)

    def _weights(self, problem: Problem, rows: Rows, raw: Tensor) -> Tensor:
        """``[R]`` weights of the rows, normalised as set."""
        return rows.share * raw / self._level(problem, rows, raw)

    def _meta_gradient(self, problem: Problem, at: Parameters) -> dict[str, Tensor]:
        """Gradient of the targets' mean losses, several each over its first; zero elsewhere."""
        means = problem.meta_losses(at).means()
        alone = len(self.targets) == 1
        scale = torch.where((self.initial == 0) | alone, 1.0, self.initial)
        terms = [means[task] / scale[place] for place, task in enumerate(self.targets)]
        found = gradients_of(torch.stack(terms).sum(), at, list(at))
        return {name: problem.reduce(gradient) for name, gradient in found.items()}

    def differentiated(self, losses: Losses) -> PerExample:
        """What :meth:`slopes` takes derivatives of."""
        return losses.per_example

    def said_of(self, losses: Losses) -> dict[str, float]:
        """Diagnostics of losses that :meth:`minimised` has changed; here there are none."""
        return {}

    def slopes(
        self, problem: Problem, losses: Losses, random: RandomState, back: Parameters
    ) -> PerExample:
        """``<back, gradient of the loss>`` of every example ``[n]``, evaluated anew.

        It may hang on networks that change the losses themselves, which then learn beside V.
        """

        def again(parameters: Parameters) -> PerExample:
            with random.again():
                return self.differentiated(problem.losses(parameters))

        return along(again, problem.parameters, back, self.settings.derivative)

    def _move(
        self, problem: Problem, rows: Rows, raw: Tensor, weights: Tensor, derivative: Tensor
    ) -> None:
        """One step on ``sum_i mean_n(c_in w_in)``: of V by w, of what c hangs on by c.

        With the derivative of the level written out, that has the gradient of a plain weighted
        sum of V's outputs: each worker differentiates its own, and the mean is the whole.
        """
        assert self.optimizer is not None
        self.optimizer.zero_grad(set_to_none=False)
        if derivative.requires_grad:
            torch.autograd.backward((weights / rows.counts[rows.task] * derivative.to(raw)).sum())
            derivative = derivative.detach()
        factor = rows.share * derivative.to(raw) / rows.counts[rows.task]
        if rows.part is not None:
            level = self._level(problem, rows, raw)
            gain = problem.reduce((factor * raw).sum())
            factor = (factor - gain / level * rows.part) / level
        self.network.set_gradient(rows.z, factor)
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = problem.reduce(parameter.grad)
        self.optimizer.step()

    def _diagnostics(
        self,
        rows: Rows,
        weights: Tensor,
        derivative: Tensor,
        gradients: TaskGradients | None,
    ) -> dict[str, float]:
        by_weight = rows.means(derivative).tolist()
        found = {f"meta_derivative/{t}": c for t, c in zip(self.tasks, by_weight, strict=True)}
        if self.settings.granularity == "example":
            apart = weights - rows.means(weights)[rows.task]
            spread = rows.means(apart.square()).sqrt().tolist()
            found |= {f"weight_sd/{t}": sd for t, sd in zip(self.tasks, spread, strict=True)}
        if gradients is not None:
            cosines = gradients.cosines(self.judges)
            for row, task, slope in zip(cosines.tolist(), self.tasks, by_weight, strict=True):
                for cosine, target in zip(row, self.targets, strict=True):
                    if task != target:
                        found[f"cosine/{task}~{target}"] = cosine
                        # whether more weight helps where the gradients agree (METHODS B.4)
                        found[f"agreement/{task}~{target}"] = float((slope < 0) == (cosine > 0))
        return found
