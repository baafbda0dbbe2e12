"""Self-supervised objectives, one file each."""

from typing import Annotated, Any

from pydantic import Field

from counterpoint.auxiliary.contract import Auxiliary, AuxiliaryBatch, AuxiliarySettings, Views
from counterpoint.auxiliary.degree import Degree, DegreeSettings
from counterpoint.graph.store import GraphMeta

AnyAuxiliary = Annotated[DegreeSettings, Field()]

AUXILIARIES: dict[str, Any] = {"degree": Degree}


def make_auxiliary(settings: AnyAuxiliary, meta: GraphMeta, width: int) -> Auxiliary:
    """An objective with fresh parameters from torch's current random state.

    Args:
        settings: what to ask; ``kind`` says which objective it is.
        meta: of the graph.
        width: of the model's shared representation.
    """
    made: Auxiliary = AUXILIARIES[settings.kind](meta, width, settings)
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
