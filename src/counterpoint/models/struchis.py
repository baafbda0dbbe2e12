"""StrucHIS: exchange between tasks inside each graph layer, by node and relation (METHODS A.3)."""

from torch import nn

from counterpoint.models.blocks import BlockModel
from counterpoint.models.composed import SharingSettings
from counterpoint.nn.relation_attention import RelationAttention
from counterpoint.nn.struchis import StrucHISLayer


class StrucHIS(BlockModel):
    """A block a task and none shared; with one task the twin on ``relgat``."""

    encoders = ("relgat",)

    def count_networks(self, sharing: SharingSettings) -> int:
        """A block a task."""
        return len(self.tasks)

    def make_layers(
        self, count: int, sharing: SharingSettings
    ) -> tuple[nn.ModuleList, nn.ModuleList]:
        """StrucHIS layers; nothing follows them."""
        layers = (
            StrucHISLayer(
                self.width,
                self.networks,
                len(self.meta.relations),
                len(self.meta.node_types),
                gate_width=sharing.struchis.gate_width,
                mask_absent=sharing.struchis.mask_absent,
            )
            for _ in range(count)
        )
        return nn.ModuleList(layers), nn.ModuleList(nn.Identity() for _ in range(count))

    def private(self, task: str) -> list[nn.Module | nn.Parameter]:
        """Of the last layer what the task reads with; its messages reach all tasks."""
        layer, place = self.layers[-1], list(self.tasks).index(task)
        assert isinstance(layer, StrucHISLayer)
        made = layer.blocks[place]
        assert isinstance(made, RelationAttention)
        return [layer.gates[place], made.own, made.score]
