"""Two workers on half batches do what one does on the whole.

As threads, which is cheap enough for every check, or as the processes of torch.distributed.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed

from counterpoint.weighting.checks.case import (
    Case,
    Trace,
    require,
    require_equal_traces,
    trace,
    with_rows,
)
from counterpoint.weighting.contract import Problem

PATIENCE = 10.0  # seconds that a worker waits for the other before they are said to disagree
STEPS = 3


def two_workers_equal_one(case: Case) -> None:
    """The same weights, gradients and states, and nobody waits for ever."""
    together = _MeanOfTwo()
    expected = trace(case.weighting(), _even(case), STEPS)
    halves = [_half(case, rank, partial(together.mean, rank)) for rank in (0, 1)]
    weightings = [case.weighting(), case.weighting()]

    def work(rank: int) -> Trace:
        with together.turn:
            try:
                return trace(weightings[rank], halves[rank], STEPS, seed=None)
            except BaseException:
                together.barrier.abort()
                raise

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, rank) for rank in (0, 1)]
        faults = [f for f in (future.exception() for future in futures) if f is not None]
    for fault in faults:
        if not isinstance(fault, threading.BrokenBarrierError):
            raise fault
    require(not faults, "two workers do not reduce the same number of times")
    for found in (future.result() for future in futures):
        require_equal_traces(found, expected, "of two workers on half batches, not those of one")
    first, second = (dict(_leaves(weighting.state_dict())) for weighting in weightings)
    for place, value in first.items():
        same = torch.equal(torch.as_tensor(value), torch.as_tensor(second[place]))
        require(same, f"two workers come to different states: {place}")


def this_process_equals_one(case: Case, steps: int) -> None:
    """The same of this process and its peer, the two of torch.distributed's default group."""
    require(distributed.get_world_size() == 2, "there must be two processes")
    expected = trace(case.weighting(), _even(case), steps)
    weighting = case.weighting()
    half = _half(case, distributed.get_rank(), mean_over_processes)
    found = trace(weighting, half, steps)
    require_equal_traces(found, expected, "of two processes on half batches, not those of one")
    for place, value in _leaves(weighting.state_dict()):
        own = torch.as_tensor(value, dtype=torch.float64)
        same = torch.equal(own, mean_over_processes(own))
        require(same, f"two processes come to different states: {place}")


def mean_over_processes(value: Tensor) -> Tensor:
    """A :attr:`Problem.reduce`: the mean over the processes of torch.distributed's group."""
    total = value.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def _even(case: Case) -> Problem:
    return with_rows(case.problem, lambda task, losses: losses[: len(losses) // 2 * 2])


def _half(case: Case, rank: int, reduce: Callable[[Tensor], Tensor]) -> Problem:
    """Every second row, and parameters of its own."""
    halved = with_rows(_even(case), partial(_every_second, rank))
    return replace(halved, reduce=reduce)


def _every_second(first: int, task: str, losses: Tensor) -> Tensor:
    return losses[first::2]


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and numbers of a nested state, each with its place in it."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(tree, list | tuple):
        for key, value in enumerate(tree):
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(tree, Tensor | float | int):
        yield place, tree


class _MeanOfTwo:
    """Mean over two threads that stand for workers.

    They take turns and change over here: under functional_call a model serves one thread.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.barrier = threading.Barrier(2, timeout=PATIENCE)
        self.values = [torch.zeros(()), torch.zeros(())]

    def mean(self, rank: int, value: Tensor) -> Tensor:
        self.values[rank] = value
        self._let_the_other_come_here()
        first, second = self.values
        require(
            first.shape == second.shape,
            f"two workers reduce unlike tensors: {[*first.shape]}, {[*second.shape]}",
        )
        mean = (first + second) / 2
        self._let_the_other_come_here()
        return mean

    def _let_the_other_come_here(self) -> None:
        self.turn.release()
        try:
            self.barrier.wait()
        finally:
            self.turn.acquire()
