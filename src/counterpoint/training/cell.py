"""One cell of the grid, all its seeds: a run directory.

::

    config.json                      cell, seeds, settings as used, digests of graph and trunks
    metrics.json                     seed -> task -> split -> metric -> value; selection a seed
    search.json                      the trials, if there was a search
    history.parquet                  seed, fit, epoch, task, name, value
    readings.parquet                 how graph layers read, if they weigh edges (see inspection.py)
    seed-<s>/<fit>.safetensors       weights at the best epoch; fit is "joint" or the task's name
    seed-<s>/<task>.<split>.parquet  metric parts
    manifest.json
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.files import (
    read_json,
    sha256_of_file,
    verified_digest,
    write_json,
    write_manifest,
)
from counterpoint.graph.store import GraphMeta, GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics.parts import Parts, read_parts, write_parts
from counterpoint.metrics.values import value
from counterpoint.models import make_model
from counterpoint.models.contract import Model
from counterpoint.training.checkpoint import load_parameters, write_parameters
from counterpoint.training.inspection import layer_readings
from counterpoint.training.loop import Fit, Trainer, chosen_device
from counterpoint.training.pretrain import load_trunk, trunk_path
from counterpoint.training.process import prepare_process
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.search import best_trial
from counterpoint.training.settings import Cell, TrainSettings

JOINT = "joint"
HELD_OUT = ("valid", "test")
HISTORY, READINGS = "history.parquet", "readings.parquet"
REPORTED = {
    TaskKind.BINARY: ("auc", "ap", "logloss", "calibration_error"),
    TaskKind.MULTICLASS: ("micro_f1", "macro_f1", "logloss"),
    TaskKind.MULTILABEL: ("micro_f1", "macro_f1"),
    TaskKind.LINK: ("ndcg", "mrr", "hr@10"),
    TaskKind.REGRESSION: ("rmse",),
}

Report = Callable[[str], None]


def reported_metrics(task: Task) -> tuple[str, ...]:
    """The primary metric, what the user asked for, and the usual ones of the kind."""
    usual = REPORTED[task.kind]
    users = ("gauc",) if task.is_pair and task.kind is TaskKind.BINARY else ()
    return tuple(dict.fromkeys([task.metric, *task.also, *usual, *users]))


def _measured(task: Task, parts: Parts) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for metric in reported_metrics(task):
        try:
            found[metric] = value(metric, parts)
        except UserError:  # undefined on these rows, such as AUC of one class
            found[metric] = None
    return found


def fits_of(cell: Cell, tasks: Mapping[str, Task]) -> dict[str, dict[str, Task]]:
    """The models that a cell trains a seed: one joint, or a twin for each target."""
    if not cell.is_twin:
        return {JOINT: dict(tasks)}
    return {name: {name: task} for name, task in tasks.items() if task.role == "target"}


@dataclass
class CellTrainer:
    """Trains the seeds of a cell into ``target``, with checkpoints under ``scratch``.

    ``pretrained`` is the folder of trunks to start from; an encoder without one starts afresh.
    ``search_seed`` is the seed of search trials; None: the first of ``seeds``.
    """

    store: GraphStore
    cell: Cell
    seeds: tuple[int, ...]
    settings: TrainSettings
    target: Path
    scratch: Path | None
    report: Report
    pretrained: Path | None = None
    search_seed: int | None = None

    def run(self) -> None:
        """Write the run directory."""
        prepare_process(self.settings.threads)
        graph = TrainingGraph(self.store, chosen_device(self.settings.device))
        metrics: dict[str, Any] = {"cell": self.cell.name, "seeds": {}, "selection": {}}
        used: dict[str, Any] = {}
        trials: dict[str, Any] = {}
        history = []
        readings: list[dict[str, Any]] = []
        names = [relation.name for relation in self.store.meta.relations]
        for fit_name, tasks in fits_of(self.cell, self.store.meta.trained).items():
            settings, trials[fit_name] = self._searched(graph, fit_name, tasks)
            used[fit_name] = settings.model_dump(mode="json")
            for seed in self.seeds:
                fit = self._fit(graph, fit_name, tasks, settings, seed)
                self._write_fit(graph, fit_name, tasks, seed, fit, metrics)
                found = layer_readings(fit.model, graph.view(fit.model.depth), tasks)
                readings += [
                    {"seed": seed, "fit": fit_name, **row, "relation": names[row["relation"]]}
                    for row in found
                ]
                history += [{"seed": seed, "fit": fit_name, **row} for row in fit.history]
                count = sum(p.numel() for p in fit.model.parameters())
                metrics.setdefault("parameters", {})[fit_name] = count
        config = {
            "cell": self.cell.model_dump(),
            "seeds": list(self.seeds),
            "settings": used,
            "graph": self.store.digest,
            **self._trunks(),
        }
        write_json(self.target / "config.json", config)
        write_json(self.target / "metrics.json", metrics)
        write_json(self.target / "search.json", trials)
        write_history(self.target / HISTORY, history)
        if readings:
            write_readings(self.target / READINGS, readings)
        write_manifest(self.target)

    def _trunks(self) -> dict[str, dict[str, str]]:
        """What the models started from: digests of the trunks by seed, if there are any."""
        if self.pretrained is None:
            return {}
        paths = {seed: trunk_path(self.pretrained, self.cell.encoder, seed) for seed in self.seeds}
        found = {str(seed): sha256_of_file(path) for seed, path in paths.items() if path.is_file()}
        return {"trunks": found} if found else {}

    def _searched(
        self, graph: TrainingGraph, fit_name: str, tasks: dict[str, Task]
    ) -> tuple[TrainSettings, list[dict[str, Any]]]:
        seed = self.seeds[0] if self.search_seed is None else self.search_seed

        def score(settings: TrainSettings) -> float:
            self.report(f"{self.cell.name} {fit_name}: search")
            return self._trainer(graph, tasks, settings, seed).fit().score

        return best_trial(self.settings, self.cell, list(tasks), score)

    def _fit(
        self,
        graph: TrainingGraph,
        fit_name: str,
        tasks: dict[str, Task],
        settings: TrainSettings,
        seed: int,
    ) -> Fit:
        def report(epoch: int, score: float) -> None:
            self.report(f"{self.cell.name} {fit_name} seed {seed}: epoch {epoch}, best {score:.4f}")

        checkpoint = None
        if self.scratch is not None:
            self.scratch.mkdir(parents=True, exist_ok=True)
            checkpoint = self.scratch / f"{fit_name}-{seed}.safetensors"
        return self._trainer(graph, tasks, settings, seed).fit(checkpoint, report=report)

    def _trainer(
        self, graph: TrainingGraph, tasks: dict[str, Task], settings: TrainSettings, seed: int
    ) -> Trainer:
        trainer = Trainer(graph, self.cell, tasks, settings, seed)
        if self.pretrained is not None:
            load_trunk(trunk_path(self.pretrained, self.cell.encoder, seed), trainer.model)
        return trainer

    def _write_fit(
        self,
        graph: TrainingGraph,
        fit_name: str,
        tasks: dict[str, Task],
        seed: int,
        fit: Fit,
        metrics: dict[str, Any],
    ) -> None:
        folder = self.target / f"seed-{seed}"
        folder.mkdir(exist_ok=True)
        write_parameters(folder / f"{fit_name}.safetensors", fit.model)
        representations = full_representations(fit.model, graph)
        found = metrics["seeds"].setdefault(str(seed), {})
        chosen = metrics["selection"].setdefault(str(seed), {})
        chosen[fit_name] = {"epoch": fit.epoch, "score": fit.score}
        for name, task in tasks.items():
            if name in self.store.meta.generated:
                continue
            for split in HELD_OUT:
                parts = scored_parts(fit.model, graph, representations, name, split)
                write_parts(folder / f"{name}.{split}.parquet", parts)
                found.setdefault(name, {})[split] = _measured(task, parts)


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    """Write the table of losses, weights, validation and diagnostics."""
    import polars as pl

    schema = {
        "seed": pl.Int64,
        "fit": pl.String,
        "epoch": pl.Int64,
        "task": pl.String,
        "name": pl.String,
        "value": pl.Float64,
    }
    pl.DataFrame(history, schema=schema).write_parquet(path)


def write_readings(path: Path, readings: list[dict[str, Any]]) -> None:
    """Write the table of what :func:`layer_readings` found, relations by their names."""
    import polars as pl

    pl.DataFrame(readings).write_parquet(path)


def configured_model(config: Mapping[str, Any], meta: GraphMeta, fit: str = JOINT) -> Model:
    """A model with fresh parameters, as a run directory's ``config.json`` says."""
    cell = Cell.model_validate(config["cell"])
    settings = TrainSettings.model_validate(config["settings"][fit])
    return make_model(
        cell.architecture,
        cell.encoder,
        meta,
        fits_of(cell, meta.trained)[fit],
        settings.encoder,
        settings.sharing,
    )


@dataclass(frozen=True)
class Run:
    """A finished run directory, verified."""

    path: Path
    digest: str
    cell: Cell
    seeds: tuple[int, ...]
    config: dict[str, Any]
    metrics: dict[str, Any]

    def parts(self, task: str, split: str, seed: int) -> Parts:
        """Metric parts of one task, split and seed."""
        return read_parts(self.path / f"seed-{seed}" / f"{task}.{split}.parquet")

    def model(self, store: GraphStore, seed: int, fit: str = JOINT) -> Model:
        """The model of one seed, with its weights; ``fit`` names the task of a twin."""
        model = configured_model(self.config, store.meta, fit)
        load_parameters(self.path / f"seed-{seed}" / f"{fit}.safetensors", model)
        return model


def open_run(path: Path) -> Run:
    """Open a run directory after rehashing it against its manifest."""
    if not (path / "config.json").is_file():
        raise UserError(f"{path}: no training run; run the stage train for this cell first")
    digest = verified_digest(path)
    config = read_json(path / "config.json")
    cell = Cell.model_validate(config["cell"])
    seeds = tuple(config["seeds"])
    return Run(path, digest, cell, seeds, config, read_json(path / "metrics.json"))
