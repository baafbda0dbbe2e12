"""Sharing architectures, one file each."""

from collections.abc import Mapping

from counterpoint.data.schema import Task
from counterpoint.graph.store import GraphMeta
from counterpoint.models.aitm import AITM
from counterpoint.models.blocks import BlockModel
from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Model
from counterpoint.models.convolutional import (
    ConvolutionalCrossStitch,
    ConvolutionalMMoE,
    ConvolutionalPLE,
    ConvolutionalSNR,
)
from counterpoint.models.cross_stitch import CrossStitch
from counterpoint.models.dephn import DEPHN
from counterpoint.models.esmm import ESMM
from counterpoint.models.inline import Inline
from counterpoint.models.inner_product import CollaborativeFilter
from counterpoint.models.mmoe import MMoE
from counterpoint.models.mogenet import MoGENet
from counterpoint.models.ple import PLE
from counterpoint.models.shared_bottom import SharedBottom
from counterpoint.models.snr import SNR
from counterpoint.models.struchis import StrucHIS
from counterpoint.nn.encoders import ENCODERS, EncoderSettings, make_encoder

SINGLE_TASK = "single_task"
# an encoder, and sharing above it
COMPOSED: dict[str, type[ComposedModel]] = {
    SINGLE_TASK: SharedBottom,  # trained once a task, with that task alone
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "cross_stitch": CrossStitch,
    "snr": SNR,
    "aitm": AITM,
    "esmm": ESMM,
    "dephn": DEPHN,
    "mogenet": MoGENet,
}
# networks of graph layers, and sharing between these
BLOCKS: dict[str, type[BlockModel]] = {
    "inline": Inline,
    "struchis": StrucHIS,
    "conv_mmoe": ConvolutionalMMoE,
    "conv_ple": ConvolutionalPLE,
    "conv_cross_stitch": ConvolutionalCrossStitch,
    "conv_snr": ConvolutionalSNR,
}
ARCHITECTURES = (*COMPOSED, *BLOCKS)


def fitting_encoders(architecture: str) -> tuple[str, ...]:
    """The encoders that an architecture can stand on, or be made of."""
    return BLOCKS[architecture].encoders if architecture in BLOCKS else ENCODERS


def make_model(
    architecture: str,
    encoder: str,
    meta: GraphMeta,
    tasks: Mapping[str, Task],
    encoder_settings: EncoderSettings,
    sharing: SharingSettings,
) -> Model:
    """A model with fresh parameters from torch's current random state."""
    if architecture in BLOCKS:
        return BLOCKS[architecture](encoder, meta, tasks, encoder_settings, sharing)
    body = make_encoder(encoder, meta, encoder_settings)
    if (
        architecture == SINGLE_TASK
        and body.inner_product
        and all(t.is_pair for t in tasks.values())
    ):
        return CollaborativeFilter(body, tasks, sharing)
    return COMPOSED[architecture](body, tasks, sharing)


__all__ = [
    "ARCHITECTURES",
    "BLOCKS",
    "SINGLE_TASK",
    "Model",
    "SharingSettings",
    "fitting_encoders",
    "make_model",
]
