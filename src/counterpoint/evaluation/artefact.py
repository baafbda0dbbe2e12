"""Tests of one trained artefact: the seed that ships, and a challenger against the champion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from counterpoint.errors import UserError
from counterpoint.evaluation.choice import best_on_validation
from counterpoint.evaluation.difference import Difference, difference_over_seeds
from counterpoint.evaluation.estimate import TaskScores
from counterpoint.evaluation.evidence import (
    GateSettings,
    Request,
    TwinEvidence,
    oriented_resamples,
)
from counterpoint.metrics import Parts, metric_named, value


class ArtefactTask(BaseModel):
    """One target of one artefact: non-inferior if ``lower`` is above ``-margin``."""

    model_config = ConfigDict(frozen=True)

    name: str
    metric: str
    margin: float
    difference: Difference
    lower: float
    non_inferior: bool


class Shipping(BaseModel):
    """The seed whose model ships, tested by itself against the seed-mean twin."""

    model_config = ConfigDict(frozen=True)

    seed: int
    validation_score: float
    passes: bool
    tasks: list[ArtefactTask]


class ChampionVerdict(BaseModel):
    """Challenger against champion on today's test set."""

    model_config = ConfigDict(frozen=True)

    decision: Literal["pass", "fail", "refused"]
    tasks: list[ArtefactTask]
    reasons: list[str]


@dataclass(frozen=True)
class ChampionEvidence:
    """A target task scored by two artefacts on today's test set.

    ``champion_training_rows`` are the identities (as in ``Parts.row``) of what the champion was
    trained on for this task.
    """

    name: str
    metric: str
    margin: float
    cluster_type: str
    challenger: Parts
    champion: Parts
    champion_training_rows: NDArray[np.int64]


def shipping(
    scores: Sequence[TaskScores], validation: Mapping[int, float], level: float
) -> Shipping:
    """Pick the seed with the best validation score and test it against the seed-mean twin.

    The seeds' variance has no part here: one artefact is judged, on resampled clusters alone.

    Raises:
        UserError: ``validation`` does not score exactly the seeds of the evidence.
    """
    if set(validation) != set(scores[0].seeds):
        raise UserError(
            f"validation: scores of seeds {sorted(validation)}, the evidence has"
            f" {list(scores[0].seeds)}; give one for each"
        )
    seed = best_on_validation(validation)
    index = scores[0].seeds.index(seed)
    tasks = [
        _artefact_task(
            one.task,
            one.joint[index] - one.twin.mean(),
            one.resampled_joint[:, index] - one.resampled_twin.mean(axis=1),
            one.n_clusters,
            level,
        )
        for one in scores
    ]
    return Shipping(
        seed=seed,
        validation_score=validation[seed],
        passes=all(task.non_inferior for task in tasks),
        tasks=tasks,
    )


def against_champion(tasks: Sequence[ChampionEvidence], settings: GateSettings) -> ChampionVerdict:
    """Whether the challenger is non-inferior to the champion on every target, by cluster bootstrap.

    All targets must pass, each at ``settings.alpha``. Refused where a test row was in the
    champion's training data: the champion would be judged on what it has seen.
    """
    seen = [
        f"{task.name}: {count} of {len(task.champion)} test rows were in the champion's training"
        " data; choose a later or other test set"
        for task in tasks
        if (count := int(np.isin(task.champion.row, task.champion_training_rows).sum()))
    ]
    if seen or not tasks:
        return ChampionVerdict(
            decision="refused", tasks=[], reasons=seen or ["no target task to compare on"]
        )
    requests = [
        Request(
            task.metric,
            task.cluster_type,
            {f"{task.name}: challenger": task.challenger, f"{task.name}: champion": task.champion},
        )
        for task in tasks
    ]
    judged = []
    for task, resampled in zip(tasks, oriented_resamples(requests, settings), strict=True):
        delta = value(task.metric, task.challenger) - value(task.metric, task.champion)
        judged.append(
            _artefact_task(
                task,
                metric_named(task.metric).orientation * delta,
                resampled[:, 0] - resampled[:, 1],
                len(np.unique(task.champion.cluster)),
                settings.alpha,
            )
        )
    passes = all(task.non_inferior for task in judged)
    return ChampionVerdict(
        decision="pass" if passes else "fail",
        tasks=judged,
        reasons=[artefact_reason(task) for task in judged],
    )


def artefact_reason(task: ArtefactTask) -> str:
    """One line on one target."""
    state = "non-inferior" if task.non_inferior else "not shown non-inferior"
    return (
        f"{task.name}: {state}; {task.metric} {task.difference.delta:+.4g},"
        f" lower bound {task.lower:+.4g}, margin {task.margin:.4g}"
    )


def _artefact_task(
    task: TwinEvidence | ChampionEvidence,
    delta: float,
    resampled: NDArray[np.float64],
    n_clusters: int,
    level: float,
) -> ArtefactTask:
    difference = difference_over_seeds(np.array([delta]), resampled, n_clusters)
    lower = difference.lower(level)
    return ArtefactTask(
        name=task.name,
        metric=task.metric,
        margin=task.margin,
        difference=difference,
        lower=lower,
        non_inferior=lower > -task.margin,
    )
