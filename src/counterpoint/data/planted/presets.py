"""The presets of the planted generator, and how their dials are turned."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from counterpoint.data.planted.aminer import AminerConfig
from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.criteo import CriteoConfig
from counterpoint.data.planted.logistic import LogisticConfig
from counterpoint.data.planted.market.config import MarketConfig
from counterpoint.errors import UserError

PRESETS: dict[str, PlantedConfig] = {
    "tiny": MarketConfig(
        users=300,
        items=200,
        shops=20,
        brands=15,
        interactions=3_000,
        click_rate=0.3,
        conversion_rate=0.06,
        complaint_rate=0.2,
    ),
    "demo": MarketConfig(),
    "large": MarketConfig(
        users=500_000, items=100_000, shops=5_000, brands=2_000, interactions=10_000_000
    ),
    "logistic": LogisticConfig(),
    "logistic_tiny": LogisticConfig(
        customers=1_000,
        accounts=1_000,
        stations=30,
        companies=100,
        interest_rate=0.2,
        contract_rate=0.06,
    ),
    "logistic_rare": LogisticConfig(
        customers=700_000,
        accounts=700_000,
        stations=3_000,
        companies=70_000,
        contract_rate=0.0007,
    ),
    "aminer": AminerConfig(),
    "criteo_r": CriteoConfig(second="related"),
    "criteo_ur": CriteoConfig(second="unrelated"),
}


def planted_preset(name: str, **dials: Any) -> PlantedConfig:
    """The preset ``name`` with some dials turned.

    Raises:
        UserError: no such preset or dial, or a dial out of its range; one line a fault.
    """
    if name not in PRESETS:
        raise UserError(f"planted: no preset {name!r}; there are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    try:
        return type(preset).model_validate(preset.model_dump() | dials)
    except ValidationError as fault:
        raise UserError(*(_one_line(name, error) for error in fault.errors())) from None


def _one_line(name: str, error: ErrorDetails) -> str:
    dial = ".".join(map(str, error["loc"]))
    place = f"{dial}={error['input']!r}: " if dial else ""
    return f"planted {name}: {place}{error['msg'].removeprefix('Value error, ')}"
