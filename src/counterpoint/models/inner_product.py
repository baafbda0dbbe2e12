"""A collaborative filter alone: pairs scored by the inner product of an encoder's output."""

from torch import Tensor, nn

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations
from counterpoint.nn.heads import InnerProduct
from counterpoint.nn.named import NamedModules


class CollaborativeFilter(ComposedModel):
    """Twin of an encoder with ``inner_product``, for a task on pairs; nothing lies above it.

    Not a shared bottom with one task: through a learned map of propagated ids training finds
    popularity first, and then learns the pairs by heart (study lastfm_encoders has both).
    """

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """Nothing."""
        self.representation_width = d_in
        return nn.Identity()

    def make_towers(self, settings: SharingSettings) -> NamedModules:
        """An inner product a task."""
        return NamedModules({name: InnerProduct() for name in self.tasks})

    def mix(self, h: Tensor) -> Representations:
        """The encoder's output for every task."""
        return dict.fromkeys(self.tasks, h)

    def last_shared(self) -> nn.Module:
        """The encoder's last layer."""
        return self.encoder.last_layer()
