"""Two processes, joined by gloo, on half batches: a weighting of each kind does what one does."""

from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from counterpoint.weighting import Decision, Weighting, make_weighting
from counterpoint.weighting.checks import check_process, small_problem
from counterpoint.weighting.contract import as_floats, set_gradients

PATIENCE = timedelta(seconds=120)
NETWORK = {"hidden": 16}
KINDS = [
    ("fixed", {}),
    ("uncertainty", {}),
    ("gradnorm", {}),
    ("dwa", {}),
    ("cosine", {}),
    ("pcgrad", {}),
    ("aux_ts", {**NETWORK, "granularity": "task"}),
    ("aux_ts", {**NETWORK, "granularity": "example"}),
    ("selar", NETWORK),
]


class KeepsItsGradients(Weighting):
    """Forgets that others have rows, too."""

    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        weights = dict.fromkeys(self.tasks, 1.0)
        alone = type(problem)(losses, losses, problem.parameters, problem.groups, 0.1)
        set_gradients(alone, losses.weighted_sum(weights))
        return Decision(as_floats(losses.means()), weights)


class SeesItsOwnRows(KeepsItsGradients):
    """Reduces what it gives, not what it keeps."""

    def __init__(self, tasks, targets):
        super().__init__(tasks, targets)
        self.register_buffer("seen", torch.zeros(()))

    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        weights = dict.fromkeys(self.tasks, 1.0)
        set_gradients(problem, losses.weighted_sum(weights))
        self.seen += losses.per_example["target"].detach().mean()
        return Decision(as_floats(losses.means()), weights)


def check_all(rank: int, store: str) -> None:
    """What each of the two processes runs."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=PATIENCE
    )
    try:
        for name, settings in KINDS:
            for targets in (("target",), ("target", "noise")):
                check_process(
                    lambda tasks, targets, name=name, settings=settings: make_weighting(
                        name, tasks, targets, settings
                    ),
                    targets=targets,
                )
        for kind, fault in (
            (KeepsItsGradients, "of two processes on half batches, not those of one"),
            (SeesItsOwnRows, "two processes come to different states: /seen"),
        ):
            with pytest.raises(AssertionError, match=fault):
                check_process(kind, small_problem())
    finally:
        distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    multiprocessing.spawn(check_all, args=(str(tmp_path / "store"),), nprocs=2)
