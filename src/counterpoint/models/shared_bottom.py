"""Shared-Bottom: one hidden layer for all tasks, a tower each (Caruana 1997)."""

from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.experts import SLOPE


def bottom(d_in: int, width: int) -> nn.Sequential:
    """One hidden layer below a tower: ``[n, d_in]`` to ``[n, width]``."""
    return nn.Sequential(nn.Linear(d_in, width), nn.LeakyReLU(SLOPE))


class SharedBottom(ComposedModel):
    """Encoder, ``LeakyReLU(Linear)`` of ``settings.width``, towers.

    With one task it is that task's single-task twin.
    """

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """The bottom: ``[n, d_in]`` to ``[n, width]``."""
        return bottom(d_in, settings.width)

    def mix(self, h: Tensor) -> Representations:
        """The same representation for every task."""
        return dict.fromkeys(self.tasks, self.sharing(h))
