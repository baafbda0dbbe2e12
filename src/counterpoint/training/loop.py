"""The training loop of one model and one seed; resumable to the same bits."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from counterpoint.auxiliary import Auxiliary, make_auxiliary
from counterpoint.data.schema import Task
from counterpoint.errors import UserError
from counterpoint.graph.sampling import step_key
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics.values import chance, metric_named, value
from counterpoint.models import make_model
from counterpoint.models.contract import Model, Step
from counterpoint.training.batches import Batches
from counterpoint.training.checkpoint import read_checkpoint, write_checkpoint
from counterpoint.training.diagnostics import conflicts
from counterpoint.training.hints import make_hints
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.settings import Cell, TrainSettings
from counterpoint.training.trained import Trained
from counterpoint.weighting import Decision, Losses, Problem, Weighting, make_weighting
from counterpoint.weighting.contract import AdamState

Record = dict[str, Any]  # one row of the history: epoch, task, name, value


@dataclass
class Progress:
    """What a run has reached: everything that a checkpoint must hold beside tensors of modules."""

    epoch: int = 0
    best_epoch: int = -1
    best_score: float = -float("inf")
    stale: int = 0
    history: list[Record] = field(default_factory=list)


@dataclass(frozen=True)
class Fit:
    """A trained model at its best epoch."""

    model: Model
    epoch: int
    score: float
    history: list[Record]


def chosen_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is any, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _check_fanouts(settings: TrainSettings, depth: int) -> None:
    if settings.fanouts is not None and len(settings.fanouts) != depth:
        raise UserError(
            f"train.fanouts: {len(settings.fanouts)} numbers for an encoder of {depth} graph"
            " layers; give one a layer"
        )


def _optimizer(trained: Trained, settings: TrainSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(trained.parameters(), rate, momentum=0.9, weight_decay=decay)
    # not fused: on a CPU that reads a gradient as if it were contiguous, which not all are
    return torch.optim.Adam(trained.parameters(), rate, weight_decay=decay)


class Trainer:
    """Trains one model on some tasks with one seed."""

    def __init__(
        self,
        graph: TrainingGraph,
        cell: Cell,
        tasks: Mapping[str, Task],
        settings: TrainSettings,
        seed: int,
    ) -> None:
        self.graph, self.tasks, self.settings, self.seed = graph, dict(tasks), settings, seed
        targets = tuple(name for name, task in tasks.items() if task.role == "target")
        self.judged = targets or tuple(tasks)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = make_model(
                cell.architecture,
                cell.encoder,
                graph.meta,
                self.tasks,
                settings.encoder,
                settings.sharing,
            )
            auxiliaries = self._auxiliaries(cell, model)
            self.model: Model = model.to(graph.device)
            method = settings.weighting.get(cell.weighting, {})
            names = (*tasks, *auxiliaries)
            weighting = make_weighting(cell.weighting, names, targets, method)
            self.weighting: Weighting = weighting.to(graph.device)
            hints = None
            if weighting.hints is not None:
                width = model.representation_width
                hints = make_hints(graph.store, self.tasks, width, weighting.hints)
        _check_fanouts(settings, self.model.depth)
        self.trained = Trained(self.model, self.tasks, auxiliaries, hints).to(graph.device)
        self.optimizer = _optimizer(self.trained, settings)
        self.parameters = dict(self.trained.named_parameters())
        self.groups = self.trained.parameter_groups()
        self.batches = Batches(graph, self.tasks, settings, seed, auxiliaries)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self._chance: dict[str, float] = {}

    def _auxiliaries(self, cell: Cell, model: Model) -> dict[str, Auxiliary]:
        """The objectives of a joint model; a twin has none."""
        if cell.is_twin:
            return {}
        if taken := [name for name in self.settings.auxiliaries if name in self.tasks]:
            raise UserError(f"train.auxiliaries: {', '.join(taken)} is a task already; rename it")
        return {
            name: make_auxiliary(settings, self.graph.meta, model.trunk_width)
            for name, settings in self.settings.auxiliaries.items()
        }

    def losses(self, step: Step, parameters: Mapping[str, Tensor]) -> Losses:
        """Per-example losses of a step at given parameters."""
        with torch.autocast(self.graph.device.type, torch.bfloat16, enabled=self.settings.bf16):
            found: Losses = functional_call(self.trained, dict(parameters), (step,))
        return found

    def _judging_losses(self, step: Step, parameters: Mapping[str, Tensor]) -> Losses:
        """The same without dropout, which would but make the judgement noisy, and cost a third."""
        self.trained.eval()
        losses = self.losses(step, parameters)
        self.trained.train()
        return losses

    def _optimizer_state(self) -> dict[str, AdamState]:
        if not isinstance(self.optimizer, torch.optim.Adam):
            return {}
        (group,) = self.optimizer.param_groups
        return {
            name: AdamState(
                state["exp_avg"],
                state["exp_avg_sq"],
                int(state["step"]),
                group["betas"],
                group["eps"],
            )
            for name, parameter in self.parameters.items()
            if (state := self.optimizer.state.get(parameter))
        }

    def _problem(self, step: Step, epoch: int) -> Problem:
        """The step as weightings and diagnostics see it."""
        held = step.meta if step.meta is not None else step.batches
        judging = Step({name: batch for name, batch in held.items() if name in self.judged})
        return Problem(
            losses=lambda parameters: self.losses(step, parameters),
            meta_losses=lambda parameters: self._judging_losses(judging, parameters),
            parameters=self.parameters,
            groups=self.groups,
            learning_rate=self.settings.learning_rate,
            epoch=epoch,
            clip=self.settings.clip,
            optimizer_state=self._optimizer_state,
        )

    def take_step(self, step: Step, epoch: int = 0) -> Decision:
        """Gradients by the weighting, then the optimiser."""
        decision = self.weighting.fill_gradients(self._problem(step, epoch))
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip)
        self.optimizer.step()
        return decision

    def run_epoch(self, epoch: int) -> list[Record]:
        """All steps of an epoch; returns the means of what weighting and diagnostics said."""
        self.trained.train()
        said: dict[tuple[str, str], list[float]] = {}
        every = self.settings.diagnose_every
        steps = self.batches.epoch(epoch, self.model.depth, meta=self.weighting.meta_rows)
        for number, step in enumerate(steps):
            torch.manual_seed(step_key(self.seed, epoch, number))  # dropout of this step
            self.model.observe(step)
            taken = epoch * self.batches.steps + number
            found = conflicts(self._problem(step, epoch)) if every and taken % every == 0 else {}
            decision = self.take_step(step, epoch)
            self.trained.remember(step, (taken + 1) / (self.settings.epochs * self.batches.steps))
            for name, values in (("loss", decision.losses), ("weight", decision.weights)):
                for task, amount in values.items():
                    said.setdefault((task, name), []).append(amount)
            for name, amount in (found | decision.diagnostics).items():
                said.setdefault(("", name), []).append(amount)
        return [
            {"epoch": epoch, "task": task, "name": name, "value": sum(values) / len(values)}
            for (task, name), values in said.items()
        ]

    def validate(self, epoch: int) -> float:
        """Mean chance-corrected primary metric over the targets on valid; appends to history."""
        representations = full_representations(self.model, self.graph)
        corrected = []
        for name in self.judged:
            metric = self.tasks[name].metric
            parts = scored_parts(self.model, self.graph, representations, name, "valid")
            if name not in self._chance:
                self._chance[name] = chance(metric, parts)
            found, level = value(metric, parts), self._chance[name]
            corrected.append((found - level) / (metric_named(metric).best - level))
            record = {"epoch": epoch, "task": name, "name": f"valid {metric}", "value": found}
            self.progress.history.append(record)
        return sum(corrected) / len(corrected)

    def _state(self) -> dict[str, Any]:
        return {
            "progress": vars(self.progress),
            "trained": self.trained.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "weighting": self.weighting.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.trained.load_state_dict(state["trained"])
        self.best = {name: tensor.to(self.graph.device) for name, tensor in state["best"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.weighting.load_state_dict(state["weighting"])

    def fit(
        self,
        checkpoint: Path | None = None,
        every_seconds: float = 20.0,
        report: Callable[[int, float], None] = lambda epoch, score: None,
    ) -> Fit:
        """Train until patience or epochs end; the model returned is that of the best epoch.

        Args:
            checkpoint: file to resume from and to write now and then.
            every_seconds: least time between two checkpoints.
            report: called after each epoch with the epoch and the best score so far.
        """
        if checkpoint is not None and (state := read_checkpoint(checkpoint)) is not None:
            self._restore(state)
        settings, progress, written = self.settings, self.progress, time.monotonic()
        while progress.epoch < settings.epochs and progress.stale < settings.patience:
            epoch = progress.epoch
            progress.history += self.run_epoch(epoch)
            progress.epoch += 1
            if progress.epoch % settings.evaluate_every == 0 or progress.epoch == settings.epochs:
                self._keep_if_best(epoch, self.validate(epoch))
            report(epoch, progress.best_score)
            if checkpoint is not None and time.monotonic() - written >= every_seconds:
                write_checkpoint(checkpoint, self._state())
                written = time.monotonic()
        self.model.load_state_dict(self.best)
        return Fit(self.model, progress.best_epoch, progress.best_score, progress.history)

    def _keep_if_best(self, epoch: int, score: float) -> None:
        progress = self.progress
        if score > progress.best_score:
            progress.best_score, progress.best_epoch, progress.stale = score, epoch, 0
            self.best = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        else:
            progress.stale += 1
