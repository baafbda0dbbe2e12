"""The dials of the planted market, and the presets."""

from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

from counterpoint.data.schema import Split, Strict
from counterpoint.errors import UserError

Rate = Annotated[float, Field(gt=0, lt=0.5)]
Size = Annotated[int, Field(ge=10)]


class PlantedConfig(Strict):
    """All dials of a planted market; the same dials give the same bytes.

    ``relatedness`` is the cosine of the relation importances of click and complaint, ``kinship``
    that of click and conversion. ``affinity`` is the share of a signal's variance that depends on
    the pair and not on one end alone. ``temperature`` divides the unit-variance signal in the
    logit: the higher, the more the labels are chance. ``feature_noise`` is the standard deviation
    of the noise on a unit-variance feature. ``latent_width`` numbers are hidden in a node,
    ``signal_columns`` features show mixes of them, ``noise_columns`` show nothing. ``skew`` is
    the Zipf exponent of the popularity of items, shops and brands; the activity of users has half
    of it.
    """

    seed: NonNegativeInt = 0
    users: Size = 2500
    items: Size = 1200
    shops: Size = 60
    brands: Size = 40
    interactions: PositiveInt = 60_000
    relatedness: Annotated[float, Field(ge=-0.5, le=0.9)] = -0.5
    kinship: Annotated[float, Field(ge=-1, le=1)] = 0.9
    click_rate: Rate = 0.2
    conversion_rate: Rate = 0.01
    complaint_rate: Rate = 0.1
    latent_width: Annotated[int, Field(ge=1, le=64)] = 1
    affinity: Annotated[float, Field(ge=0, le=1)] = 0.5
    temperature: Annotated[float, Field(ge=0.05, le=20)] = 0.4
    feature_noise: Annotated[float, Field(ge=0, le=100)] = 0.5
    signal_columns: PositiveInt = 4
    noise_columns: NonNegativeInt = 2
    skew: Annotated[float, Field(ge=0, le=1.5)] = 0.8
    split: Split = Split(valid=0.15, test=0.35)

    @model_validator(mode="after")
    def _conversions_are_clicks(self) -> Self:
        if self.conversion_rate > 0.5 * self.click_rate:
            raise ValueError(
                f"conversion_rate {self.conversion_rate} is above half of click_rate "
                f"{self.click_rate}: a conversion is a click, lower it"
            )
        return self

    @property
    def sizes(self) -> dict[str, int]:
        """Number of nodes of each type."""
        return {"user": self.users, "item": self.items, "shop": self.shops, "brand": self.brands}


PRESETS = {
    "tiny": PlantedConfig(
        users=300,
        items=200,
        shops=20,
        brands=15,
        interactions=3_000,
        click_rate=0.3,
        conversion_rate=0.06,
        complaint_rate=0.2,
    ),
    "demo": PlantedConfig(),
    "large": PlantedConfig(
        users=500_000, items=100_000, shops=5_000, brands=2_000, interactions=10_000_000
    ),
}


def planted_preset(name: str, **dials: Any) -> PlantedConfig:
    """The preset ``name`` (tiny, demo, large) with some dials turned.

    Raises:
        UserError: no such preset or dial, or a dial out of its range; one line a fault.
    """
    if name not in PRESETS:
        raise UserError(f"planted: no preset {name!r}; there are {', '.join(PRESETS)}")
    values = PRESETS[name].model_dump() | dials
    try:
        return PlantedConfig.model_validate(values)
    except ValidationError as fault:
        raise UserError(*(_one_line(name, error) for error in fault.errors())) from None


def _one_line(name: str, error: ErrorDetails) -> str:
    dial = ".".join(map(str, error["loc"]))
    place = f"{dial}={error['input']!r}: " if dial else ""
    return f"planted {name}: {place}{error['msg'].removeprefix('Value error, ')}"
