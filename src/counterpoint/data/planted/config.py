"""The dials that all planted data sets have."""

from abc import abstractmethod
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from counterpoint.data.schema import Split, Strict

Rate = Annotated[float, Field(gt=0, lt=0.5)]
Size = Annotated[int, Field(ge=10)]


class PlantedConfig(Strict):
    """Dials of a planted data set; the same dials give the same bytes.

    ``temperature`` divides the logit: the higher, the more the labels are chance. ``skew`` is the
    Zipf exponent of the popularity of what is chosen.
    """

    seed: NonNegativeInt = 0
    temperature: Annotated[float, Field(ge=0.05, le=20)] = 0.4
    skew: Annotated[float, Field(ge=0, le=1.5)] = 0.8
    split: Split = Split(valid=0.15, test=0.35)

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Number of nodes of each type."""


class PlantedGraphConfig(PlantedConfig):
    """Dials of planted data whose tasks depend on relations.

    ``relatedness`` is the cosine of the relation importances of two tasks. ``temperature`` divides
    a unit-variance signal. ``feature_noise`` is the standard deviation of the noise on a
    unit-variance feature. ``latent_width`` numbers are hidden in a node, ``signal_columns``
    features show mixes of them, ``noise_columns`` show nothing. ``skew`` is that of what nodes
    choose among.
    """

    relatedness: Annotated[float, Field(ge=-0.5, le=0.9)] = -0.5
    latent_width: Annotated[int, Field(ge=1, le=64)] = 1
    feature_noise: Annotated[float, Field(ge=0, le=100)] = 0.5
    signal_columns: PositiveInt = 4
    noise_columns: NonNegativeInt = 2


def refuse_child_above_half(child: str, child_rate: float, parent: str, parent_rate: float) -> None:
    """Positives of ``child`` are positives of ``parent``: leave the parent some of its own."""
    if child_rate > 0.5 * parent_rate:
        raise ValueError(
            f"{child}_rate {child_rate} is above half of {parent}_rate {parent_rate}: "
            f"a {child} is a {parent}, lower it"
        )
