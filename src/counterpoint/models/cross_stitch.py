"""Cross-Stitch networks: a network a task, mixed after each layer (Misra et al. 2016)."""

from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.exchange import Stitch
from counterpoint.nn.experts import Experts


class StitchedLayer(nn.Module):
    """A layer a task, then the stitch."""

    def __init__(self, tasks: int, d_in: int, width: int) -> None:
        super().__init__()
        self.networks = Experts(tasks, d_in, width)
        self.stitch = Stitch(tasks)

    def forward(self, h: Tensor) -> Tensor:
        """``[n, d_in]``, one input for all tasks, or ``[n, T, d_in]``, to ``[n, T, width]``."""
        stitched: Tensor = self.stitch(self.networks(h))
        return stitched


class CrossStitch(ComposedModel):
    """Layers of task networks on the encoder's output, stitched; a tower on each network.

    Any task's loss reaches every network but by the last stitch, so all of it is ``shared``.
    """

    sharing: nn.Sequential

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """The stitched layers, lowest first."""
        widths = [d_in] + [settings.width] * (settings.levels - 1)
        return nn.Sequential(
            *(StitchedLayer(len(self.tasks), width, settings.width) for width in widths)
        )

    def last_shared(self) -> nn.Module:
        """The last stitched layer."""
        return self.sharing[-1]

    def mix(self, h: Tensor) -> Representations:
        """Each task's network after the last stitch ``[n, width]``."""
        outputs: Tensor = self.sharing(h)
        return dict(zip(self.tasks, outputs.unbind(1), strict=True))
