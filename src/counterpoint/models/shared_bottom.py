"""Shared-Bottom: one hidden layer for all tasks, a tower each (Caruana 1997)."""

from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.experts import SLOPE


class SharedBottom(ComposedModel):
    """Encoder, ``LeakyReLU(Linear)`` of ``settings.width``, towers.

    With one task it is that task's single-task twin.
    """

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """The bottom: ``[n, d_in]`` to ``[n, width]``."""
        return nn.Sequential(nn.Linear(d_in, settings.width), nn.LeakyReLU(SLOPE))

    def mix(self, h: Tensor) -> Representations:
        """The same representation for every task."""
        bottom = self.sharing(h)
        return dict.fromkeys(self.tasks, bottom)
