"""Sharing architectures, one file each."""

from collections.abc import Mapping

from counterpoint.data.schema import Task
from counterpoint.graph.store import GraphMeta
from counterpoint.models.aitm import AITM
from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Model
from counterpoint.models.cross_stitch import CrossStitch
from counterpoint.models.dephn import DEPHN
from counterpoint.models.esmm import ESMM
from counterpoint.models.mmoe import MMoE
from counterpoint.models.mogenet import MoGENet
from counterpoint.models.ple import PLE
from counterpoint.models.shared_bottom import SharedBottom
from counterpoint.models.snr import SNR
from counterpoint.nn.encoders import EncoderSettings, make_encoder

SINGLE_TASK = "single_task"
ARCHITECTURES: dict[str, type[ComposedModel]] = {
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


def make_model(
    architecture: str,
    encoder: str,
    meta: GraphMeta,
    tasks: Mapping[str, Task],
    encoder_settings: EncoderSettings,
    sharing: SharingSettings,
) -> Model:
    """A model with fresh parameters from torch's current random state."""
    body = make_encoder(encoder, meta, encoder_settings)
    return ARCHITECTURES[architecture](body, tasks, sharing)


__all__ = ["ARCHITECTURES", "SINGLE_TASK", "Model", "SharingSettings", "make_model"]
