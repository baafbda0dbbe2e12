"""Self-supervised objectives, one file each."""

from typing import Annotated, Any

from pydantic import Field

from counterpoint.auxiliary.attribute_generation import (
    AttributeGeneration,
    AttributeGenerationSettings,
)
from counterpoint.auxiliary.contract import Auxiliary, AuxiliaryBatch, AuxiliarySettings, Views
from counterpoint.auxiliary.deep_graph_infomax import DeepGraphInfomax, DeepGraphInfomaxSettings
from counterpoint.auxiliary.degree import Degree, DegreeSettings
from counterpoint.auxiliary.edge_generation import EdgeGeneration, EdgeGenerationSettings
from counterpoint.auxiliary.feature_reconstruction import (
    FeatureReconstruction,
    FeatureReconstructionSettings,
)
from counterpoint.graph.store import GraphMeta

AnyAuxiliary = Annotated[
    AttributeGenerationSettings
    | DeepGraphInfomaxSettings
    | DegreeSettings
    | EdgeGenerationSettings
    | FeatureReconstructionSettings,
    Field(discriminator="kind"),
]

AUXILIARIES: dict[str, Any] = {
    "attribute_generation": AttributeGeneration,
    "deep_graph_infomax": DeepGraphInfomax,
    "degree": Degree,
    "edge_generation": EdgeGeneration,
    "feature_reconstruction": FeatureReconstruction,
}


def make_auxiliary(settings: AnyAuxiliary, meta: GraphMeta, width: int) -> Auxiliary:
    """An objective with fresh parameters from torch's current random state.

    Args:
        settings: what to ask; ``kind`` says which objective it is.
        meta: of the graph.
        width: of the model's shared representation.
    """
    made: Auxiliary = AUXILIARIES[settings.kind](meta, width, settings)
    made.scale = settings.scale
    return made


__all__ = [
    "AUXILIARIES",
    "AnyAuxiliary",
    "Auxiliary",
    "AuxiliaryBatch",
    "AuxiliarySettings",
    "Views",
    "make_auxiliary",
]
