"""The dials of the planted market."""

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from counterpoint.data.planted.config import PlantedGraphConfig, Rate, Size, refuse_child_above_half


class MarketConfig(PlantedGraphConfig):
    """All dials of a planted market.

    ``relatedness`` is the cosine of the relation importances of click and complaint, ``kinship``
    that of click and conversion. ``affinity`` is the share of a signal's variance that depends on
    the pair and not on one end alone. ``skew`` is that of items, shops and brands; the activity of
    users has half of it. With ``funnel`` conversions are clicks; without, each label is drawn by
    itself.
    """

    users: Size = 2500
    items: Size = 1200
    shops: Size = 60
    brands: Size = 40
    interactions: PositiveInt = 60_000
    kinship: Annotated[float, Field(ge=-1, le=1)] = 0.9
    click_rate: Rate = 0.2
    conversion_rate: Rate = 0.01
    complaint_rate: Rate = 0.1
    affinity: Annotated[float, Field(ge=0, le=1)] = 0.5
    funnel: bool = True

    @model_validator(mode="after")
    def _conversions_are_clicks(self) -> Self:
        if self.funnel:
            refuse_child_above_half("conversion", self.conversion_rate, "click", self.click_rate)
        return self

    @property
    def sizes(self) -> dict[str, int]:
        """Number of nodes of each type."""
        return {"user": self.users, "item": self.items, "shop": self.shops, "brand": self.brands}

    @property
    def rates(self) -> dict[str, float]:
        """Share of positives of each task, parents first."""
        return {
            "click": self.click_rate,
            "conversion": self.conversion_rate,
            "complaint": self.complaint_rate,
        }

    @property
    def parents(self) -> dict[str, str]:
        """The task whose positives hold all of a task's own, by that task."""
        return {"conversion": "click"} if self.funnel else {}
