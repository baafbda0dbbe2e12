"""How the tasks' gradients get on with one another at one step, whatever weighs them."""

import torch
from torch import Tensor

from counterpoint.weighting.contract import Losses, Problem
from counterpoint.weighting.gradients import TINY, TaskGradients, split, task_gradients
from counterpoint.weighting.per_example import RandomState


def conflicts(problem: Problem) -> dict[str, float]:
    """Numbers on the shared parameters at one batch, for the history of a run.

    - ``norm/a``: of the gradient of task a's mean loss.
    - ``cosine/a~b``, ``sign_agreement/a~b``: of two gradients; the latter is the share of
      coordinates, among those where both are not zero, whose signs are equal.
    - ``noise_scale/a``: variance of the gradient of one example over the squared norm of its mean
      (McCandlish et al. 2018, appendix A.1), from the batch and its halves; the batch size at
      which noise and signal are even. Left out where noise hides the signal altogether.
    - ``affinity/a>b``: by what share a step of size ``learning_rate`` on a alone lowers b's loss
      (Fifty et al. 2021, eq. 1); below zero it raises it.

    Costs two backward passes a task and a forward pass each; the random state is left as it was.
    """
    random = RandomState.now()
    with random.again():
        losses = problem.losses(problem.parameters)
    tasks = tuple(losses.per_example)
    gradients = task_gradients(problem, losses)
    found = {f"norm/{t}": n for t, n in zip(tasks, gradients.norms.tolist(), strict=True)}
    found |= _pairs(tasks, gradients)
    found |= _noise_scales(problem, losses, gradients)
    return found | _affinities(problem, random, losses, gradients)


def _pairs(tasks: tuple[str, ...], gradients: TaskGradients) -> dict[str, float]:
    cosines = gradients.cosines(range(len(tasks)))
    found: dict[str, float] = {}
    for i, a in enumerate(tasks):
        for j, b in enumerate(tasks[i + 1 :], start=i + 1):
            found[f"cosine/{b}~{a}"] = float(cosines[i, j])
            products = gradients.shared[i] * gradients.shared[j]
            reached = (products != 0).sum().clamp(min=1)
            found[f"sign_agreement/{b}~{a}"] = float((products > 0).sum() / reached)
    return found


def _noise_scales(problem: Problem, losses: Losses, gradients: TaskGradients) -> dict[str, float]:
    """From the squared norms at n and n / 2 examples, whose expectation is ``S + N / n``."""
    halves = {task: loss[::2] for task, loss in losses.per_example.items()}
    first = task_gradients(problem, Losses(halves))
    found: dict[str, float] = {}
    for row, (task, loss) in enumerate(losses.per_example.items()):
        n, half = len(loss), len(halves[task])
        if n < 2:
            continue
        whole = gradients.shared[row]
        second = (n * whole - half * first.shared[row]) / (n - half)
        at_half = (half * first.shared[row].square().sum() + (n - half) * second.square().sum()) / n
        at_n = whole.square().sum()
        # the mean over both halves of 1 / size is 2 / n, whatever their sizes
        noise = (at_half - at_n) * n
        signal = at_n - noise / n
        if float(signal) > TINY:
            found[f"noise_scale/{task}"] = float(noise / signal)
    return found


def _affinities(
    problem: Problem, random: RandomState, losses: Losses, gradients: TaskGradients
) -> dict[str, float]:
    before = {task: float(mean.detach()) for task, mean in losses.means().items()}
    found: dict[str, float] = {}
    for row, a in enumerate(before):
        step = split(problem, gradients.shared[row])
        with torch.no_grad(), random.again():
            after = problem.losses(_moved(problem, step)).means()
        for b, start in before.items():
            if abs(start) > TINY:
                found[f"affinity/{a}>{b}"] = 1 - float(after[b]) / start
    return found


def _moved(problem: Problem, step: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: p - problem.learning_rate * step[name] if name in step else p
        for name, p in problem.parameters.items()
    }
