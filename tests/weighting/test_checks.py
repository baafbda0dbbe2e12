"""That check_weighting can fail: a weighting for each fault that it is there to find."""

import itertools

import pytest
import torch
from torch import nn

from counterpoint.weighting import Decision, Weighting
from counterpoint.weighting.checks import check_weighting, small_problem
from counterpoint.weighting.contract import as_floats, set_gradients


class Sound(Weighting):
    """The plain sum, with hooks for the faults below."""

    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        weights = self.chosen(losses)
        set_gradients(problem, losses.weighted_sum(weights))
        return Decision(as_floats(losses.means()), weights)

    def chosen(self, losses):
        return dict.fromkeys(self.tasks, 1.0)


class LeavesOutUnreached(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        for parameter in problem.parameters.values():
            parameter.grad = parameter.grad if parameter.grad.any() else None
        return decision


class LeavesOutTowers(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        problem.parameters["towers.noise"].grad = None
        return decision


class Accumulates(Sound):
    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        (losses.weighted_sum(self.chosen(losses)) + 0).backward()
        return Decision(as_floats(losses.means()), self.chosen(losses))


class KeepsTheGraph(Sound):
    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        total = losses.weighted_sum(self.chosen(losses))
        names, tensors = zip(*problem.parameters.items(), strict=True)
        found = torch.autograd.grad(total, tensors, create_graph=True, materialize_grads=True)
        for name, gradient in zip(names, found, strict=True):
            problem.parameters[name].grad = gradient
        return Decision(as_floats(losses.means()), self.chosen(losses))


class ForgetsATask(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        return Decision(decision.losses, {"target": 1.0})


class TakesTheStep(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        for parameter in problem.parameters.values():
            parameter.data -= 0.1 * parameter.grad
        return decision


class Moody(Sound):
    calls = itertools.count()

    def chosen(self, losses):
        return dict.fromkeys(self.tasks, 1.0 + next(self.calls) % 5)


class ByPlace(Sound):
    def chosen(self, losses):
        return dict(zip(self.tasks, (1.0, 2.0, 3.0), strict=True))


class ByOrderOfLosses(Sound):
    """Zips tasks with what the losses happen to be ordered by."""

    def chosen(self, losses):
        sizes = [float(mean.detach()) for mean in losses.means().values()]
        return dict(zip(self.tasks, sizes, strict=True))


class WeighsTheTowersOtherwise(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        return Decision(decision.losses, {**decision.weights, "noise": 0.5})


class MixesTowers(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        noise, target = (problem.parameters[f"towers.{task}"] for task in ("noise", "target"))
        noise.grad = noise.grad + 0.1 * target.grad
        return decision


class WeighsThePenalty(Sound):
    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        weights = dict.fromkeys(self.tasks, 2.0)
        set_gradients(problem, losses.weighted_sum(weights) + losses.penalty)
        return Decision(as_floats(losses.means()), weights)


class MeansOfNothing(Sound):
    def chosen(self, losses):
        return {task: float(losses.per_example[task].detach().mean()) for task in self.tasks}


class DividesByTheLoss(Sound):
    def chosen(self, losses):
        empty = {task: len(x) == 0 for task, x in losses.per_example.items()}
        means = as_floats(losses.means())
        return {
            task: 1.0 if empty[task] else float(1 / torch.tensor(means[task]))
            for task in self.tasks
        }


class CountsBesideItsState(Sound):
    steps = 0

    def chosen(self, losses):
        self.steps += 1
        return dict.fromkeys(self.tasks, 1.0 / self.steps)


class ForgetsTheEpoch(Sound):
    """Counts epochs beside its state, and acts where one begins."""

    epoch = epochs = 0

    def fill_gradients(self, problem):
        self.epochs += problem.epoch != self.epoch
        self.epoch = problem.epoch
        return super().fill_gradients(problem)

    def chosen(self, losses):
        return dict.fromkeys(self.tasks, 1.0 + (self.epochs > 2))


class DividesByTheLastEpochsLoss(Sound):
    def __init__(self, tasks, targets):
        super().__init__(tasks, targets)
        self.register_buffer("now", torch.ones(len(tasks)))
        self.register_buffer("last", torch.ones(len(tasks)))
        self.register_buffer("epoch", torch.tensor(0))

    def fill_gradients(self, problem):
        if problem.epoch != int(self.epoch):
            self.last.copy_(self.now)
            self.epoch.fill_(problem.epoch)
        return super().fill_gradients(problem)

    def chosen(self, losses):
        means = losses.means()
        self.now.copy_(torch.stack([means[task].detach() for task in self.tasks]))
        return dict(zip(self.tasks, (1 / self.last).tolist(), strict=True))


class LosesItsOptimiser(Sound):
    def __init__(self, tasks, targets):
        super().__init__(tasks, targets)
        self.level = nn.Parameter(torch.zeros(()))
        self.optimizer = torch.optim.Adam([self.level], 0.1)

    def chosen(self, losses):
        self.level.grad = self.level.detach() ** 3 - 1
        self.optimizer.step()
        return dict.fromkeys(self.tasks, float(self.level.detach()))

    def get_extra_state(self):
        return {}


class GrowsItsState(Sound):
    def chosen(self, losses):
        if not hasattr(self, "first"):
            self.register_buffer("first", torch.ones(3))
        return super().chosen(losses)


class ForgetsToReduce(Sound):
    def fill_gradients(self, problem):
        losses = problem.losses(problem.parameters)
        total = losses.weighted_sum(self.chosen(losses))
        tensors = list(problem.parameters.values())
        found = torch.autograd.grad(total, tensors, materialize_grads=True)
        for parameter, gradient in zip(tensors, found, strict=True):
            parameter.grad = gradient
        return Decision(as_floats(losses.means()), self.chosen(losses))


class KeepsToItself(Sound):
    """What it has seen steers it one day, and differs from worker to worker."""

    def __init__(self, tasks, targets):
        super().__init__(tasks, targets)
        self.register_buffer("seen", torch.zeros(()))

    def chosen(self, losses):
        self.seen += losses.per_example["target"].detach().mean().nan_to_num()
        return super().chosen(losses)


class ReducesUnlikeTensors(Sound):
    def fill_gradients(self, problem):
        decision = super().fill_gradients(problem)
        rows = problem.losses(problem.parameters).per_example["target"]
        problem.reduce(rows[: 1 + int((rows > 1).sum())])
        return decision


FAULTS = [
    (LeavesOutUnreached, "no gradient for a parameter|has no gradient of zeros"),
    (LeavesOutTowers, "no gradient for towers.noise"),
    (Accumulates, "gradient of shared is added to what was there"),
    (KeepsTheGraph, "gradient of shared holds a graph"),
    (ForgetsATask, r"weights of the decision are of \['target'\]"),
    (TakesTheStep, "fill_gradients changes the parameter shared"),
    (Moody, "the same steps twice differ"),
    (ByPlace, "with tasks in another order"),
    (ByOrderOfLosses, "with losses in another order"),
    (WeighsTheTowersOtherwise, "gradient of towers.noise is not the weight of noise times its own"),
    (MixesTowers, "gradient of towers.noise is not the weight of noise times its own"),
    (WeighsThePenalty, "a penalty is not passed on as it is"),
    (MeansOfNothing, "not finite after an empty batch of target"),
    (DividesByTheLoss, "not finite after losses of 0 of target"),
    (CountsBesideItsState, "continued from its state it differs"),
    (ForgetsTheEpoch, "continued from its state it differs"),
    (DividesByTheLastEpochsLoss, "not finite after an empty batch of target"),
    (LosesItsOptimiser, "continued from its state it differs"),
    (GrowsItsState, "a fresh weighting cannot load the state"),
    (ForgetsToReduce, "of two workers on half batches, not those of one"),
    (KeepsToItself, "two workers come to different states: /seen"),
    (ReducesUnlikeTensors, "two workers reduce unlike tensors"),
]


def test_a_sound_weighting_passes():
    check_weighting(Sound)


@pytest.mark.parametrize(("kind", "message"), FAULTS, ids=lambda x: getattr(x, "__name__", ""))
@pytest.mark.filterwarnings("ignore:Using backward. with create_graph=True")
def test_a_broken_weighting_is_caught(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_weighting(kind)


def test_workers_that_disagree_on_what_to_reduce_are_caught(monkeypatch):
    class SkipsAReduction(Sound):
        def fill_gradients(self, problem):
            decision = super().fill_gradients(problem)
            rows = problem.losses(problem.parameters).per_example["target"]
            if (rows > 1).sum() > 2:
                problem.reduce(torch.zeros(1))
            return decision

    monkeypatch.setattr("counterpoint.weighting.checks.workers.PATIENCE", 0.2)
    with pytest.raises(AssertionError, match=r"two workers (do not reduce|reduce unlike)"):
        check_weighting(SkipsAReduction)


def test_the_callers_problem_and_random_state_stay_as_they_are():
    problem = small_problem()
    before = {name: p.detach().clone() for name, p in problem.parameters.items()}
    random = torch.get_rng_state()
    check_weighting(Sound, problem, ("helper", "noise"))
    assert torch.equal(torch.get_rng_state(), random)
    for name, parameter in problem.parameters.items():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
