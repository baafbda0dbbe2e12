"""Task weightings, one file each."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from counterpoint.weighting.aux_ts import AuxTS, AuxTSSettings
from counterpoint.weighting.contract import Decision, Losses, Problem, Weighting
from counterpoint.weighting.fixed import Fixed, FixedSettings
from counterpoint.weighting.uncertainty import Uncertainty, UncertaintySettings

WEIGHTINGS: dict[str, tuple[Any, type[BaseModel]]] = {
    "fixed": (Fixed, FixedSettings),
    "uncertainty": (Uncertainty, UncertaintySettings),
    "aux_ts": (AuxTS, AuxTSSettings),
}


def make_weighting(
    name: str, tasks: tuple[str, ...], targets: tuple[str, ...], settings: Mapping[str, Any]
) -> Weighting:
    """A weighting with fresh state from torch's current random state."""
    method, settings_type = WEIGHTINGS[name]
    made: Weighting = method(tasks, targets, settings_type.model_validate(settings))
    return made


__all__ = ["WEIGHTINGS", "Decision", "Losses", "Problem", "Weighting", "make_weighting"]
