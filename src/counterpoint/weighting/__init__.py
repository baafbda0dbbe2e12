"""Task weightings, one file each."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from counterpoint.weighting.aggregators import AGGREGATORS
from counterpoint.weighting.aux_ts import AuxTS, AuxTSSettings
from counterpoint.weighting.contract import Decision, Losses, Problem, Weighting
from counterpoint.weighting.cosine import Cosine, CosineSettings
from counterpoint.weighting.dwa import DWA, DWASettings
from counterpoint.weighting.fixed import Fixed, FixedSettings
from counterpoint.weighting.gradnorm import GradNorm, GradNormSettings
from counterpoint.weighting.none import NoHelp, NoHelpSettings
from counterpoint.weighting.selar import Selar, SelarSettings
from counterpoint.weighting.selar_hint import SelarHint, SelarHintSettings
from counterpoint.weighting.uncertainty import Uncertainty, UncertaintySettings

WEIGHTINGS: dict[str, tuple[Any, type[BaseModel]]] = {
    "fixed": (Fixed, FixedSettings),
    "none": (NoHelp, NoHelpSettings),
    "uncertainty": (Uncertainty, UncertaintySettings),
    "aux_ts": (AuxTS, AuxTSSettings),
    "selar": (Selar, SelarSettings),
    "selar_hint": (SelarHint, SelarHintSettings),
    "gradnorm": (GradNorm, GradNormSettings),
    "dwa": (DWA, DWASettings),
    "cosine": (Cosine, CosineSettings),
    **AGGREGATORS,
}


def make_weighting(
    name: str, tasks: tuple[str, ...], targets: tuple[str, ...], settings: Mapping[str, Any]
) -> Weighting:
    """A weighting with fresh state from torch's current random state."""
    method, settings_type = WEIGHTINGS[name]
    made: Weighting = method(tasks, targets, settings_type.model_validate(settings))
    return made


__all__ = ["WEIGHTINGS", "Decision", "Losses", "Problem", "Weighting", "make_weighting"]
