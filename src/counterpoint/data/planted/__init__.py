"""Planted data sets: the embedded market and others, each with a truth to compare with."""

from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.generate import generate
from counterpoint.data.planted.presets import PRESETS, planted_preset

__all__ = ["PRESETS", "PlantedConfig", "generate", "planted_preset"]
