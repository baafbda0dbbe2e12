"""SELAR with hint networks, which answer in part for the model (Hwang et al. 2020, METHODS B.5)."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterpoint.nn.hints import HintSettings
from counterpoint.weighting.contract import Hinted, Losses, Parameters, Problem
from counterpoint.weighting.per_example import PerExample, RandomState
from counterpoint.weighting.selar import Selar, SelarSettings
from counterpoint.weighting.weight_network import WeightNetwork


class SelarHintSettings(SelarSettings):
    """``hints`` are the networks that help, trained beside the model and thrown away after."""

    granularity: Literal["example"] = "example"
    derivative: Literal["forward", "double", "difference"] = "forward"
    hints: HintSettings = HintSettings()


class SelarHint(Selar):
    r"""Mix the logits of model and hint, :math:`z = c s_a + (1 - c) s_b`, in auxiliary pair tasks.

    The loss of such a task is that of z. The share c of an example is :math:`V_H` of both losses,
    type and label. V is shown the mixed loss. Both networks move so that the targets' loss after
    the virtual step falls; what they are shown is a constant to that.

    With u as in :mod:`counterpoint.weighting.virtual_step` and d the derivative along it, an
    example's slope is :math:`\ell'(z) (c\,ds_a + (1 - c)\,ds_b)`, in which c stands in the open:
    its derivative by c, times weight and 1/n, is that of the meta-loss by c, and needs no second
    derivative of the model.
    """

    def __init__(
        self, tasks: tuple[str, ...], targets: tuple[str, ...], settings: SelarHintSettings
    ) -> None:
        super().__init__(tasks, targets, settings)
        self.hints = settings.hints
        self.mixer = WeightNetwork(3 + len(tasks), settings.hidden, "sigmoid")
        self.optimizer = torch.optim.Adam(
            self.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def minimised(self, losses: Losses) -> Losses:
        """The losses of the mixed predictions where there is a hint."""
        with torch.no_grad():
            shares = self.shares(losses)
        hints = {task: replace(losses.hints[task], share=share) for task, share in shares.items()}
        mixed = {task: _loss(pair.logits(), losses.labels[task]) for task, pair in hints.items()}
        return replace(losses, per_example={**losses.per_example, **mixed}, hints=hints)

    def shares(self, losses: Losses) -> dict[str, Tensor]:
        """The model's share c ``[n]`` of each mixed prediction; differentiable by V_H alone."""
        found = {}
        for place, task in enumerate(self.tasks):
            if task not in losses.hints:
                continue
            pair, label = losses.hints[task], losses.labels[task]
            own, hint = _loss(pair.model.detach(), label), _loss(pair.hint.detach(), label)
            types = own.new_zeros(len(own), len(self.tasks))
            types[:, place] = 1.0
            z = torch.cat([torch.stack([own, hint], 1), types, label.to(own)[:, None]], dim=1)
            found[task] = self.mixer(z.to(self.initial.dtype)).squeeze(-1).to(own)
        return found

    def differentiated(self, losses: Losses) -> PerExample:
        """The logits of model and hint too."""
        model = {task: pair.model for task, pair in losses.hints.items()}
        hint = {f"hint:{task}": pair.hint for task, pair in losses.hints.items()}
        return {**losses.per_example, **model, **hint}

    def slopes(
        self, problem: Problem, losses: Losses, random: RandomState, back: Parameters
    ) -> PerExample:
        """``<back, gradient of the loss>`` of every example, a function of V_H where c is."""
        found = super().slopes(problem, losses, random, back)
        for task, share in self.shares(losses).items():
            pair = losses.hints[task]
            here = Hinted(pair.model.detach(), pair.hint.detach(), share).logits()
            slope = torch.sigmoid(here) - losses.labels[task].to(here)  # of the loss by its logit
            found[task] = slope * Hinted(found[task], found[f"hint:{task}"], share).logits()
        return found

    def said_of(self, losses: Losses) -> dict[str, float]:
        """The model's mean share in each mixed prediction."""
        shares = {task: pair.share for task, pair in losses.hints.items()}
        return {
            f"model_share/{task}": float(share.sum() / max(len(share), 1))
            for task, share in shares.items()
            if isinstance(share, Tensor)
        }


def _loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of each row ``[n]``."""
    return binary_cross_entropy_with_logits(logits, label.to(logits), reduction="none")
