"""What the gate is given: the scored test sets of the joint model and its twins, and the rules."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from counterpoint.errors import UserError, raise_faults
from counterpoint.metrics import Parts, metric_named, resampled_values

MINIMUM_SEEDS = 6


class GateSettings(BaseModel):
    """The rules of the gate, declared before training (METHODS E.6).

    ``looks`` are the seed counts at which the gate may be asked, the last one being the most;
    each look is held to ``alpha / len(looks)``. ``allow_provisional`` lets fewer than six seeds
    promote; ``require_gain`` asks for a gain besides the absence of harm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(0.05, gt=0, lt=0.5)
    looks: tuple[PositiveInt, ...] = Field((10,), min_length=1)
    n_resamples: int = Field(2000, ge=2000)
    resampling_seed: int = Field(0, ge=0)
    require_gain: bool = True
    allow_provisional: bool = False

    @property
    def level(self) -> float:
        """One-sided level of one look."""
        return self.alpha / len(self.looks)


@dataclass(frozen=True)
class TwinEvidence:
    """A target task: its primary metric, its margin, and the twin's scored test set by seed.

    ``cluster_type`` names what the clusters are (a node type): tasks with one cluster type share
    their resamples, so that the mean over tasks knows how they vary together.
    """

    name: str
    metric: str
    margin: float
    cluster_type: str
    twin: Mapping[int, Parts]


@dataclass(frozen=True)
class TaskEvidence(TwinEvidence):
    """The same with the joint model's scored test set, by the same seeds."""

    joint: Mapping[int, Parts]


@dataclass(frozen=True)
class Request:
    """One metric of several models on one test set, to be resampled."""

    metric: str
    cluster_type: str
    models: Mapping[str, Parts]


def oriented_resamples(
    requests: Sequence[Request], settings: GateSettings
) -> list[NDArray[np.float64]]:
    """Resampled values ``[n_resamples, n_models]`` of each request, higher is better.

    Requests with one cluster type share their draws, whatever their order.
    """
    values: list[NDArray[np.float64]] = [np.empty(0)] * len(requests)
    for cluster_type in {request.cluster_type for request in requests}:
        members = [i for i, r in enumerate(requests) if r.cluster_type == cluster_type]
        drawn = resampled_values(
            [(requests[i].metric, requests[i].models) for i in members],
            n_resamples=settings.n_resamples,
            rng=np.random.default_rng(
                [settings.resampling_seed, zlib.crc32(cluster_type.encode())]
            ),
        )
        for i, of_request in zip(members, drawn, strict=True):
            values[i] = metric_named(requests[i].metric).orientation * of_request
    return values


def check_tasks(tasks: Sequence[TwinEvidence]) -> None:
    """Check names, metrics, margins and seeds.

    Raises:
        UserError: one line a fault.
    """
    if not tasks:
        raise UserError("evidence: no target task; declare at least one")
    names = [task.name for task in tasks]
    faults = [
        f"{name}: given more than once" for name in sorted(set(names)) if names.count(name) > 1
    ]
    seeds = sorted(tasks[0].twin)
    for task in tasks:
        metric_named(task.metric)
        if not task.margin > 0:
            faults.append(f"{task.name}: margin {task.margin}; it must be above 0")
        for side in (task.twin, task.joint) if isinstance(task, TaskEvidence) else (task.twin,):
            if sorted(side) != seeds:
                faults.append(
                    f"{task.name}: seeds {sorted(side)}, {names[0]}'s twin has {seeds};"
                    " train the joint model and all twins on the same seeds"
                )
    if len(seeds) < 2:
        faults.append(f"{names[0]}: {len(seeds)} seed(s); the variance over seeds needs two")
    raise_faults(faults)
