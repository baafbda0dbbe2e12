"""Multi-gate mixture of experts (Ma et al. 2018)."""

from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.experts import Experts, Gates, gates_of, mixtures
from counterpoint.nn.named import NamedModules


class MMoE(ComposedModel):
    """Experts shared by all tasks; each task's gate weighs them for each node (eq. 6-7).

    Gates start uniform. A gate belongs to its task's group, the experts to ``shared``.
    """

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """The experts: ``[n, d_in]`` to ``[n, experts, width]``."""
        return Experts(settings.experts, d_in, settings.width)

    def make_private(self, d_in: int, settings: SharingSettings) -> NamedModules:
        """A gate a task."""
        return NamedModules({task: Gates(d_in, settings.experts) for task in self.tasks})

    def mix(self, h: Tensor) -> Representations:
        """Each task's mixture of the experts ``[n, width]``."""
        gates = gates_of([self.private[task] for task in self.tasks], h)
        return dict(zip(self.tasks, mixtures(gates, self.sharing(h)), strict=True))
