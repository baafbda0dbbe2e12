"""Random search: the same number of trials for every joint model and every twin."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from counterpoint.training.settings import Cell, SearchSettings, TrainSettings


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    low, high = math.log(bounds[0]), math.log(bounds[1])
    return float(np.exp(rng.uniform(low, high)))


def trial_settings(
    settings: TrainSettings, cell: Cell, tasks: list[str], trial: int
) -> TrainSettings:
    """Settings of a trial: trial 0 is what the user set, the others are drawn.

    Task weights are hyper-parameters of the fixed weighting and are drawn with the rest.
    """
    if trial == 0:
        return settings
    space: SearchSettings = settings.search
    rng = np.random.default_rng([space.seed, trial])
    encoder = settings.encoder.model_copy(update={"dropout": float(rng.uniform(*space.dropout))})
    changed: dict[str, Any] = {
        "learning_rate": _log_uniform(rng, space.learning_rate),
        "weight_decay": _log_uniform(rng, space.weight_decay),
        "encoder": encoder,
    }
    if cell.weighting == "fixed" and len(tasks) > 1:
        weights = {task: float(np.exp(rng.uniform(*space.log_task_weight))) for task in tasks}
        changed["weighting"] = {**settings.weighting, "fixed": {"weights": weights}}
    return settings.model_copy(update=changed)


def best_trial(
    settings: TrainSettings,
    cell: Cell,
    tasks: list[str],
    score: Callable[[TrainSettings], float],
) -> tuple[TrainSettings, list[dict[str, Any]]]:
    """The settings with the best validation score, and the record of all trials."""
    records: list[dict[str, Any]] = []
    best, best_score = settings, -float("inf")
    for trial in range(settings.search.trials):
        drawn = trial_settings(settings, cell, tasks, trial)
        found = score(drawn)
        records.append(
            {
                "trial": trial,
                "learning_rate": drawn.learning_rate,
                "weight_decay": drawn.weight_decay,
                "dropout": drawn.encoder.dropout,
                "weights": drawn.weighting.get("fixed", {}).get("weights"),
                "validation_score": found,
            }
        )
        if found > best_score:
            best, best_score = drawn, found
    return best, records
