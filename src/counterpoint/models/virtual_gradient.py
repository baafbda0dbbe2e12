"""Virtual gradients (DEPHN, METHODS D.4): the gradient of a gate times a coefficient.

What the paper does, to multiply the gate by the coefficient and to divide it by its frozen copy,
gives ``1 + G gamma'/gamma`` and a gradient of other tasks' gates too. Here it is gamma, exactly.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterpoint.data.schema import Task
from counterpoint.models.contract import TaskBatch, number_of
from counterpoint.models.dephn_settings import VirtualGradientSettings


def with_virtual_gradient(gate: Tensor, coefficient: Tensor) -> Tensor:
    """``gate``, to the bit, whose derivative is ``coefficient``, of the same shape."""
    return gate + (coefficient.detach() - 1) * (gate - gate.detach())


def coefficients(gates: Tensor, correlation: Tensor, settings: VirtualGradientSettings) -> Tensor:
    """``prod_{j != t} gamma_jt`` for each gate of each task t (eq. 8 and 9, all eight forms).

    Shapes:
        gates ``[T, ...]``, correlation ``[T, T]`` of labels in [0, 1]; result as gates.
    """
    gates = gates.detach()
    y = (gates[:, None] - gates[None, :]).abs().clamp(max=1)
    x = correlation.to(gates.dtype).reshape(*correlation.shape, *[1] * (gates.ndim - 1))
    s = x + y if settings.combination == "additive" else 2 * x * y
    if settings.shape == "cosine":
        gamma = torch.cos(torch.pi * s) + 1
    else:
        gamma = 2 * (s - 1).abs() ** {"absolute": 1, "square": 2, "root": 0.5}[settings.shape]
    own = torch.eye(len(gates), dtype=torch.bool, device=gates.device)
    return gamma.clamp(min=settings.floor).masked_fill(own.view(x.shape), 1).prod(1)


class LabelCorrelation(nn.Module):
    """How far the labels of two tasks go together, in absolute value, from rows of both.

    Sums of labels, squares and products are kept with a decay, not correlations: a batch without
    a positive of a rare task adds what it knows, where its own correlation would be 0 / 0.
    Undefined ones are 0, as those of tasks without a row in common.
    """

    sums: Tensor

    def __init__(self, tasks: Mapping[str, Task], settings: VirtualGradientSettings) -> None:
        super().__init__()
        self.tasks, self.settings = dict(tasks), settings
        self.register_buffer("sums", torch.zeros(len(tasks), len(tasks), 6, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, batches: Mapping[str, TaskBatch]) -> None:
        """Take in the labels of a training step."""
        labels = {
            name: number_of(self.tasks[name].kind, batch.label).double()
            for name, batch in batches.items()
        }
        for s, first in enumerate(self.tasks):
            for t, second in enumerate(self.tasks):
                if s < t and first in batches and second in batches:
                    here, there = _rows_in_common(batches[first], batches[second])
                    a, b = labels[first][here], labels[second][there]
                    terms = (torch.ones_like(a), a, b, a * a, b * b, a * b)
                    found = torch.stack([term.sum() for term in terms])
                    self.sums[s, t] = self.settings.memory * self.sums[s, t] + found

    def forward(self) -> Tensor:
        """``[T, T]`` in [0, 1], symmetric; the diagonal is 0."""
        n, a, b, aa, bb, ab = self.sums.unbind(-1)
        if self.settings.correlation == "pearson":
            aa, bb, ab = n * aa - a * a, n * bb - b * b, n * ab - a * b
        # sums of equal labels leave rounding errors for a variance
        defined = (aa > 1e-9 * n) & (bb > 1e-9 * n)
        size = torch.where(defined, aa * bb, 1).sqrt()
        found = torch.where(defined, (ab / size).abs().clamp(max=1), 0)
        return found + found.T


def _rows_in_common(first: TaskBatch, second: TaskBatch) -> tuple[Tensor, Tensor]:
    """Places in either batch of the entities that both hold."""
    a, b = first.entity, second.entity
    if first.view is not second.view or a.ndim != b.ndim:
        nothing = torch.zeros(0, dtype=torch.int64, device=a.device)
        return nothing, nothing
    if torch.equal(a, b):  # the same rows, perhaps with repetitions
        rows = torch.arange(len(a), device=a.device)
        return rows, rows
    if a.ndim == 2:
        n = 1 + int(torch.cat([a, b]).max())
        a, b = a[:, 0] * n + a[:, 1], b[:, 0] * n + b[:, 1]
    known, order = torch.sort(b)
    place = torch.searchsorted(known, a).clamp(max=len(known) - 1)
    here = torch.nonzero(known[place] == a).flatten()
    return here, order[place[here]]
