"""Estimates from evidence: each task's paired difference, and their mean over the tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoint.evaluation.difference import Difference, difference_over_seeds
from counterpoint.evaluation.evidence import (
    GateSettings,
    Request,
    TaskEvidence,
    check_tasks,
    oriented_resamples,
)
from counterpoint.metrics import chance, metric_named, value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TaskScores:
    """A task's values by seed, on the test set ``[S]`` and its resamples ``[n_resamples, S]``.

    All are oriented so that higher is better; ``chance`` too.
    """

    task: TaskEvidence
    seeds: tuple[int, ...]
    n_clusters: int
    chance: float
    joint: Array
    twin: Array
    resampled_joint: Array
    resampled_twin: Array

    @property
    def per_seed(self) -> Array:
        """Paired difference of each seed, ``[S]``."""
        return self.joint - self.twin

    @property
    def resampled(self) -> Array:
        """Paired difference of each seed on the resamples, ``[n_resamples, S]``."""
        return self.resampled_joint - self.resampled_twin

    @property
    def twin_above_chance(self) -> float:
        """Seed-mean twin minus chance; what a relative gain is relative to."""
        return float(self.twin.mean()) - self.chance

    def difference(self) -> Difference:
        """The task's seed-mean difference with its variances."""
        return difference_over_seeds(self.per_seed, self.resampled.mean(axis=1), self.n_clusters)


def task_scores(tasks: Sequence[TaskEvidence], settings: GateSettings) -> list[TaskScores]:
    """Score the tasks on the test set and on shared cluster resamples.

    Raises:
        UserError: the evidence is not paired, or a metric is undefined on it.
    """
    check_tasks(tasks)
    seeds = tuple(sorted(tasks[0].twin))
    requests = [
        Request(
            task.metric,
            task.cluster_type,
            {f"{task.name}: joint, seed {seed}": task.joint[seed] for seed in seeds}
            | {f"{task.name}: twin, seed {seed}": task.twin[seed] for seed in seeds},
        )
        for task in tasks
    ]
    resampled = oriented_resamples(requests, settings)
    return [
        _task_scores(task, seeds, of_task) for task, of_task in zip(tasks, resampled, strict=True)
    ]


def _task_scores(task: TaskEvidence, seeds: tuple[int, ...], resampled: Array) -> TaskScores:
    orientation = metric_named(task.metric).orientation
    joint, twin = (
        orientation * np.array([value(task.metric, side[seed]) for seed in seeds])
        for side in (task.joint, task.twin)
    )
    any_parts = task.twin[seeds[0]]
    return TaskScores(
        task=task,
        seeds=seeds,
        n_clusters=len(np.unique(any_parts.cluster)),
        chance=orientation * chance(task.metric, any_parts),
        joint=joint,
        twin=twin,
        resampled_joint=resampled[:, : len(seeds)],
        resampled_twin=resampled[:, len(seeds) :],
    )


def mean_relative_difference(scores: Sequence[TaskScores]) -> Difference | None:
    """Δ_m in per cent (METHODS E.2), on chance-corrected metrics: RelaImpr, mean over the tasks.

    A task's difference is divided by what the seed-mean twin is above chance on the test set; the
    divisor is held fixed, so that the mean has the same two variance parts as a task. None if a
    twin is no better than chance: nothing is relative to that.
    """
    if any(one.twin_above_chance <= 0 for one in scores):
        return None
    weights = [100 / one.twin_above_chance / len(scores) for one in scores]
    per_seed = sum(weight * one.per_seed for weight, one in zip(weights, scores, strict=True))
    resampled = sum(
        weight * one.resampled.mean(axis=1) for weight, one in zip(weights, scores, strict=True)
    )
    return difference_over_seeds(
        np.asarray(per_seed), np.asarray(resampled), min(one.n_clusters for one in scores)
    )
