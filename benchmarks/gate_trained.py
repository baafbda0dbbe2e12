"""Does the gate keep its promises on trained models? Planted markets, effects known by making them.

Run: python -m benchmarks.gate_trained --json benchmarks/results/gate_trained.json

A repetition plants a market of its own and trains 2 S single-task twins of each of two tasks, from
seeds that no other repetition has. S of them are the twins; the other S play the joint model, so
that the true difference over training seeds is zero, whatever seeds and test rows do. Then the
joint scores are moved by a strength that shifts their seed-mean on the population by the wanted
effect: for the worse towards the joint score of the *other* task, for the better towards the
probability that the labels were drawn with. The shift is measured from the joint models' own
seed-mean and not from the twins': that would take the seed noise away.

Promises (METHODS E.6), with margin m:
  worse  one task worse by m, the other better by m           promoted <= 5 %
  better one task better by m, the other equal                promoted >= 80 %
  twice  one task worse by 2 m, the other better by m         rejected >= 80 %, promoted <= 1 %
The tasks take turns in being the one. Margins are four standard errors of a pilot on other markets
(repetitions ``PILOT``), rounded, and were fixed before the first repetition ran.

The population is all test users of the market. The gate sees C of them, drawn *with* replacement,
each draw a cluster of its own: then the population is exactly what its clusters are an independent
sample of. Drawn without replacement the gate would look too careful by 1 - C / users if the truth
were all users, and too bold by its inverse if it were the users that were not drawn.

Within a cell of the results repetitions are independent: one verdict a repetition and scenario.
The cells, and the scenarios of a cell, share the trained models.
"""

import argparse
import dataclasses
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from benchmarks.gate_calibration import PROMISES, printed, promise_kept, rates
from benchmarks.results import WORK, commit
from benchmarks.stores import planted_store
from counterpoint.errors import UserError
from counterpoint.evaluation.evidence import GateSettings, TaskEvidence
from counterpoint.evaluation.gate import Verdict, judge
from counterpoint.evaluation.references.planted import bayes_reference
from counterpoint.files import json_text, read_json, sha256_of_text, write_json
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics import Parts, chance_corrected, metric_named, value
from counterpoint.training.cell import HELD_OUT, fits_of
from counterpoint.training.loop import Trainer
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.settings import TrainSettings, cell_named

OTHER = {"click": "complaint", "complaint": "click"}
SCENARIOS = {"worse": (-1, 1), "better": (1, 0), "twice": (-2, 1)}  # the task in turn, the other
TWIN = cell_named("single_task-gcn-fixed")
PILOT = range(1000, 1003)


@dataclass(frozen=True)
class Cell:
    """One metric on one number of test users, with the margin of each task."""

    name: str
    metric: str
    n_clusters: int
    margins: dict[str, float]


@dataclass(frozen=True)
class Setup:
    """What is planted, how it is trained, and what is judged."""

    market: dict[str, Any]
    training: TrainSettings
    cells: tuple[Cell, ...]
    n_seeds: int = 10

    @property
    def digest(self) -> str:
        """Of what is stated here; the code, with its defaults, is told by the commits."""
        plain = {
            "market": self.market,
            "training": self.training.model_dump(mode="json", exclude_unset=True),
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
            "n_seeds": self.n_seeds,
            "scenarios": SCENARIOS,
        }
        return sha256_of_text(json_text(plain))


SETUP = Setup(
    market={
        "users": 400,
        "items": 200,
        "interactions": 6000,
        "skew": 0.4,
        "affinity": 0.1,
        "temperature": 0.2,
        "feature_noise": 0.2,
        "split": {"valid": 0.1, "test": 0.4},
    },
    training=TrainSettings.model_validate(
        {
            "encoder": {"width": 16, "layers": 1, "dropout": 0.0},
            "sharing": {"tower_width": 8},
            "learning_rate": 0.05,
            "batch_size": 8192,
            "epochs": 30,
            "evaluate_every": 6,
            "device": "cpu",
            "threads": 1,
        }
    ),
    cells=(
        Cell("trained twins, AUC", "auc", 150, {"click": 0.03, "complaint": 0.03}),
        Cell("trained twins, log loss", "logloss", 150, {"click": 0.06, "complaint": 0.05}),
    ),
)


@dataclass(frozen=True)
class Models:
    """All held-out rows of a market, scored; keys are task and split.

    ``joint`` are further seeds of the twin; ``bayes`` is the probability of the label.
    """

    twin: dict[tuple[str, str], list[Parts]]
    joint: dict[tuple[str, str], list[Parts]]
    bayes: dict[tuple[str, str], Parts]


def trained_models(setup: Setup, repetition: int) -> Models:
    """Plant the repetition's market, train both tasks' twins twice over, score what is held out."""
    models = Models({}, {}, {})
    with tempfile.TemporaryDirectory() as place:
        store = planted_store(Path(place), "tiny", seed=repetition, **setup.market)
        graph = TrainingGraph(store, torch.device("cpu"))
        for task in OTHER:
            scored = [
                scored_fit(graph, task, setup.training, 2 * setup.n_seeds * repetition + number)
                for number in range(2 * setup.n_seeds)
            ]
            for split in HELD_OUT:
                bayes = bayes_reference(store, task, split, Path(place) / "data")
                assert bayes is not None
                of_split = [by_split[split] for by_split in scored]
                models.bayes[task, split] = bayes
                models.twin[task, split] = of_split[: setup.n_seeds]
                models.joint[task, split] = of_split[setup.n_seeds :]
    return models


def scored_fit(
    graph: TrainingGraph, task: str, settings: TrainSettings, seed: int
) -> dict[str, Parts]:
    """Train one twin and score its held-out splits."""
    tasks = fits_of(TWIN, graph.meta.trained)[task]
    model = Trainer(graph, TWIN, tasks, settings, seed).fit().model
    found = full_representations(model, graph)
    return {split: scored_parts(model, graph, found, task, split) for split in HELD_OUT}


def moved(models: Models, task: str, split: str, strength: float) -> list[Parts]:
    """The joint scores, mixed by ``|strength|`` in logits: above 0 with Bayes, below with the other
    task's joint score of the same seed.
    """
    own = models.joint[task, split]
    others = models.joint[OTHER[task], split]
    targets = [models.bayes[task, split]] * len(own) if strength > 0 else others
    share = abs(strength)
    return [
        dataclasses.replace(
            parts, score=expit((1 - share) * _logits(parts) + share * _logits(target))
        )
        for parts, target in zip(own, targets, strict=True)
    ]


def _logits(parts: Parts) -> np.ndarray:
    return np.asarray(logit(np.clip(parts.score.astype(np.float64), 1e-6, 1 - 1e-6)))


def seed_mean(metric: str, models: list[Parts]) -> float:
    """Mean over seeds of the metric on all rows, oriented so that higher is better."""
    values = [value(metric, parts) for parts in models]
    return metric_named(metric).orientation * float(np.mean(values))


def strength_of(models: Models, task: str, metric: str, effect: float) -> float:
    """The strength that moves the joint models' seed-mean on the population by ``effect``.

    Raises:
        UserError: no strength moves it that far.
    """
    start = seed_mean(metric, models.joint[task, "test"])

    def excess(strength: float) -> float:
        return seed_mean(metric, moved(models, task, "test", strength)) - start - effect

    if effect == 0:
        return 0.0
    end = float(np.sign(effect))
    if excess(end) * end < 0:
        raise UserError(f"{task}: no strength moves {metric} by {effect:+.3g}; lower the margin")
    return float(brentq(excess, 0.0, end, xtol=5e-4))


def rows_of_users(parts: Parts, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the drawn users, by place among the users that have rows, and each row's draw."""
    order = np.argsort(parts.cluster, kind="stable")
    _, first, count = np.unique(parts.cluster[order], return_index=True, return_counts=True)
    rows = [order[first[user] : first[user] + count[user]] for user in users]
    return np.concatenate(rows), np.repeat(np.arange(len(users)), count[users])


def seen(models: list[Parts], users: np.ndarray) -> dict[int, Parts]:
    """What the gate sees of models, by seed: the drawn users, each draw its own cluster."""
    rows, cluster = rows_of_users(models[0], users)
    return {
        seed: Parts(parts.kind, cluster, np.arange(len(rows)), parts.label[rows], parts.score[rows])
        for seed, parts in enumerate(models)
    }


def judged(models: Models, cell: Cell, scenario: str, repetition: int) -> dict[str, Any]:
    """The verdict, and the population's seed-mean joint minus twin and effect, a task in margins.

    The joint models' validation scores are moved as their test scores are.
    """
    rng = np.random.default_rng([zlib.crc32(f"{cell.name}: {scenario}".encode()), repetition])
    in_turn = list(OTHER)[repetition % 2]
    effects = dict(zip((in_turn, OTHER[in_turn]), SCENARIOS[scenario], strict=True))
    n_users = len(np.unique(models.bayes[in_turn, "test"].cluster))
    users = rng.integers(n_users, size=cell.n_clusters)
    evidence, differences, corrected = [], {}, []
    for task, effect in effects.items():
        margin, twin = cell.margins[task], models.twin[task, "test"]
        strength = strength_of(models, task, cell.metric, effect * margin)
        joint = moved(models, task, "test", strength)
        difference = seed_mean(cell.metric, joint) - seed_mean(cell.metric, twin)
        differences[task] = difference / margin
        sides = seen(twin, users), seen(joint, users)
        evidence.append(TaskEvidence(task, cell.metric, margin, "user", *sides))
        valid = moved(models, task, "valid", strength)
        corrected.append([chance_corrected(cell.metric, parts) for parts in valid])
    settings = GateSettings(looks=(len(corrected[0]),), resampling_seed=repetition)
    validation = dict(enumerate(np.mean(corrected, axis=0).tolist()))
    verdict = judge("joint", evidence, settings, validation)
    found = {"population": differences, "effects": effects}
    return {**found, "verdict": verdict.model_dump(mode="json")}


def repetition_result(setup: Setup, repetition: int) -> dict[str, Any]:
    """Train one market's models and judge every cell and scenario on them."""
    start = time.perf_counter()
    with threadpool_limits(1):  # matrices this small are slower on two threads
        models = trained_models(setup, repetition)
        trained = time.perf_counter()
        found = {
            cell.name: {
                scenario: judged(models, cell, scenario, repetition) for scenario in SCENARIOS
            }
            for cell in setup.cells
        }
    seconds = {"train": trained - start, "judge": time.perf_counter() - trained}
    twins = {
        task: {"twin": seed_mean("auc", models.twin[task, "test"])}
        | {"bayes": value("auc", models.bayes[task, "test"])}
        for task in OTHER
    }
    return {"cells": found, "auc": twins, "seconds": seconds}


def results(setup: Setup, repetitions: range, work: Path) -> list[dict[str, Any]]:
    """Each repetition's result; those that were computed before with this setup are read.

    A market on which an effect cannot be made is left out, before the gate is asked, and says so.
    """
    found, code = [], commit()  # of what is loaded now: others may commit while this runs
    for repetition in repetitions:
        path = work / setup.digest[:16] / f"{repetition}.json"
        if not path.is_file():
            try:
                write_json(path, repetition_result(setup, repetition) | {"commit": code})
            except UserError as fault:
                write_json(path, {"left_out": f"repetition {repetition}: {fault}"})
        found.append(read_json(path))
        print(found[-1].get("left_out", f"repetition {repetition}: done"), flush=True)
    return found


def measured(setup: Setup, cell: Cell, everything: list[dict[str, Any]]) -> dict[str, Any]:
    """One cell over the repetitions, in the shape of gate_calibration, and the errors' sources."""
    found = [one for one in everything if "left_out" not in one]
    by_scenario = {
        scenario: [one["cells"][cell.name][scenario] for one in found] for scenario in SCENARIOS
    }
    outcomes = {}
    for scenario, judgements in by_scenario.items():
        verdicts = [Verdict.model_validate(one["verdict"]) for one in judgements]
        outcomes[scenario] = rates(verdicts) | {"in turn non-inferior": _non_inferior(verdicts)}
    errors = _errors([one for judgements in by_scenario.values() for one in judgements])
    return {
        "name": cell.name,
        "metric": cell.metric,
        "margins": cell.margins,
        "n_seeds": setup.n_seeds,
        "n_clusters": cell.n_clusters,
        "repetitions": len(found),
        "left_out": [one["left_out"] for one in everything if "left_out" in one],
        "true_standard_error": errors["true"]["both"],
        "estimated_standard_error": errors["estimated"]["both"],
        "errors": errors,
        "outcomes": outcomes,
        "promises": [promise_kept(outcomes, *promise) for promise in PROMISES],
        "auc": _mean_auc(found),
        "commits": sorted({one["commit"] for one in found}),
        "setup": setup.digest,
    }


def _mean_auc(found: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of the twins and of Bayes, mean over the markets: how far from trained out the twins are."""
    return {
        task: {
            of: float(np.mean([one["auc"][task][of] for one in found]))
            for of in found[0]["auc"][task]
        }
        for task in OTHER
    }


def _non_inferior(verdicts: list[Verdict]) -> dict[str, float]:
    """How often the task that is worse (or better) by the effect is found non-inferior."""
    count = sum(verdict.tasks[0].state == "non_inferior" for verdict in verdicts)
    interval = binomtest(count, len(verdicts)).proportion_ci(0.95)
    rate = count / len(verdicts)
    return {"rate": rate, "low": float(interval.low), "high": float(interval.high)}


def _errors(judgements: list[dict[str, Any]]) -> dict[str, Any]:
    """Root mean squares, in margins: what the estimate erred by, and what it said it would.

    ``seed`` is the realised seeds' difference on the population less the effect, ``test`` the
    difference that the gate saw less that; ``bias`` the mean error of the whole. ``too_bold`` is
    how often the lower bound, which should fail 5 % of the time, was above the effect.
    """
    true, estimated, too_bold = [], [], []
    for one in judgements:
        for task in Verdict.model_validate(one["verdict"]).tasks:
            population, effect = one["population"][task.name], one["effects"][task.name]
            shown, difference = task.difference.delta / task.margin, task.difference
            true.append((population - effect, shown - population, shown - effect))
            too_bold.append(task.lower / task.margin > effect)
            parts = (difference.seed_variance / difference.n_seeds, difference.test_variance)
            estimated.append([np.sqrt(part) / task.margin for part in (*parts, sum(parts))])
    bias = float(np.mean([both for *_, both in true]))
    found = {"true": _root_mean_squares(true), "estimated": _root_mean_squares(estimated)}
    return {**found, "bias": bias, "too_bold": float(np.mean(too_bold)), "bounds": len(too_bold)}


def _root_mean_squares(rows: list[Any]) -> dict[str, float]:
    values = np.sqrt(np.mean(np.square(rows), axis=0)).tolist()
    return dict(zip(("seed", "test", "both"), values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=48)
    parser.add_argument("--pilot", action="store_true", help="the markets that margins come from")
    parser.add_argument("--work", type=Path, default=WORK / "gate_trained", help="results so far")
    parser.add_argument("--json", type=Path, help="write all rates here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    repetitions = PILOT if arguments.pilot else range(arguments.repetitions)
    found = results(SETUP, repetitions, arguments.work)
    cells = [measured(SETUP, cell, found) for cell in SETUP.cells]
    for cell in cells:
        print(printed(cell) + "\n  errors in margins: " + str(cell["errors"]), flush=True)
    if arguments.json:
        write_json(arguments.json, cells)


if __name__ == "__main__":
    main()
