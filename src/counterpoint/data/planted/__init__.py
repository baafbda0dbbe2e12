"""The planted marketplace: the embedded data set, with a truth to compare with."""

from counterpoint.data.planted.config import PRESETS, PlantedConfig, planted_preset
from counterpoint.data.planted.generate import generate

__all__ = ["PRESETS", "PlantedConfig", "generate", "planted_preset"]
