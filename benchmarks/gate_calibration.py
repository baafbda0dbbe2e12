"""Does the gate keep its promises? False promotion, power and rejection on simulated predictions.

Run: python benchmarks/gate_calibration.py --repetitions 250 --json calibration.json

Promises (METHODS E.6), with margin m and three (AUC: two) target tasks:
  worse  one task worse by m, the others better by 2 m        promoted <= 5 %
  better one task better by m, the others equal               promoted >= 80 %
  twice  one task worse by 2 m, the others better by 2 m      rejected >= 80 %, promoted <= 1 %
"But for shipping" leaves out the test of the one seed that ships.

The noise of joint minus twin has three sources, given as shares of the true variance of its
seed-mean: the seed (the same for all clusters), the cluster (the same for all seeds: test noise),
and their interaction (each seed errs on other clusters). ``se/m`` is the standard error of the
seed-mean difference in margins, measured over the repetitions.
"""

import argparse
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, ndtri
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from counterpoint.evaluation.evidence import GateSettings, TaskEvidence
from counterpoint.evaluation.gate import Verdict, judge
from counterpoint.files import write_json
from counterpoint.metrics import Parts

SCENARIOS = {"worse": (-1, 2, 2), "better": (1, 0, 0), "twice": (-2, 2, 2)}
PROMISES = [
    ("worse", "promoted", "at most", 0.05),
    ("better", "promoted", "at least", 0.80),
    ("twice", "rejected", "at least", 0.80),
    ("twice", "promoted", "at most", 0.01),
]
Experiment = tuple[list[TaskEvidence], np.ndarray]


@dataclass(frozen=True)
class Cell:
    """One setting of the dials; ``simulate`` gives the tasks and each seed's true quality."""

    name: str
    simulate: Callable[["Cell", tuple[int, ...], np.random.Generator], Experiment]
    dials: dict[str, float]
    n_seeds: int = 10
    n_clusters: int = 300


def additive(cell: Cell, effects: tuple[int, ...], rng: np.random.Generator) -> Experiment:
    """Metrics that are means over clusters: a log loss whose rows are Gaussian, or skewed.

    ``seed``, ``cluster`` and ``interaction`` are shares of the variance, ``se`` its root in
    margins.
    """
    n, seeds, margin = cell.n_clusters, cell.n_seeds, 0.02
    size = {name: cell.dials["se"] * margin * np.sqrt(cell.dials[name]) for name in SHARES}
    tasks, quality = [], np.zeros(seeds)
    for index, effect in enumerate(effects):
        of_seed = size["seed"] * np.sqrt(seeds) * rng.normal(size=(seeds, 1))
        skewed = rng.exponential(size=n) - 1 if cell.dials["skewed"] else rng.normal(size=n)
        of_cluster = size["cluster"] * np.sqrt(n) * skewed
        of_both = size["interaction"] * np.sqrt(seeds * n) * rng.normal(size=(seeds, n))
        twin = np.tile(4 + rng.normal(size=n) / 2, (seeds, 1))
        joint = twin - (effect * margin + of_seed + of_cluster + of_both)
        sides = [
            {
                seed: Parts("binary", np.arange(n), np.arange(n), np.ones(n), np.exp(-loss))
                for seed, loss in enumerate(np.clip(side, 0.01, 15))
            }
            for side in (twin, joint)
        ]
        tasks.append(TaskEvidence(f"task {index}", "logloss", margin, "user", *sides))
        quality += of_seed[:, 0]
    return tasks, quality


def auc(cell: Cell, effects: tuple[int, ...], rng: np.random.Generator) -> Experiment:
    """Two AUC tasks with five rows a user and binormal scores: AUC is Phi(separation / sqrt(2)).

    A score's variance within a class is 1; ``cluster`` of it is a model's own for all its seeds,
    ``interaction`` a seed's own, 0.25 a user's and the rest all models'. ``seed`` is the standard
    deviation of the joint model's separation.
    """
    rows, seeds, margin = 5 * cell.n_clusters, cell.n_seeds, 0.03
    user = np.repeat(np.arange(cell.n_clusters), 5)
    own, seeds_own = cell.dials["cluster"], cell.dials["interaction"]
    tasks, quality = [], np.zeros(seeds)
    for index, effect in enumerate(effects[:2]):
        label = rng.random(rows) < 0.3
        shared = np.sqrt(0.75 - own - seeds_own) * rng.normal(size=rows)
        shared += 0.5 * rng.normal(size=cell.n_clusters)[user]
        wander = cell.dials["seed"] * rng.normal(size=seeds)
        sides = []
        for target, moved in ((0.75, 0 * wander), (0.75 + effect * margin, wander)):
            # the mean over seeds of Phi(separation / sqrt(2)) is the target
            separation = ndtri(target) * np.sqrt(2 + cell.dials["seed"] ** 2 * (moved is wander))
            noise = np.sqrt(own) * rng.normal(size=rows)
            noise = noise + np.sqrt(seeds_own) * rng.normal(size=(seeds, rows))
            scores = expit((separation + moved)[:, None] * label + shared + noise)
            sides.append(
                {
                    seed: Parts("binary", user, np.arange(rows), label, score)
                    for seed, score in enumerate(scores)
                }
            )
        tasks.append(TaskEvidence(f"task {index}", "auc", margin, "user", *sides))
        quality += wander
    return tasks, quality


SHARES = ("seed", "cluster", "interaction")


def additive_cell(
    name: str, *shares: float, skewed: bool = False, n_seeds: int = 10, n_clusters: int = 300
) -> Cell:
    dials = dict(zip(SHARES, shares, strict=True)) | {"se": 0.25, "skewed": float(skewed)}
    return Cell(name, additive, dials, n_seeds, n_clusters)


CELLS = [
    additive_cell("seed and test noise equal", 0.5, 0.5, 0.0),
    additive_cell("test noise twice seed noise", 0.2, 0.8, 0.0),
    additive_cell("seed noise alone", 1.0, 0.0, 0.0),
    additive_cell("half of it interaction", 0.25, 0.25, 0.5),
    additive_cell("six seeds, skewed clusters", 0.5, 0.5, 0.0, skewed=True, n_seeds=6),
    Cell("AUC", auc, {"seed": 0.08, "cluster": 0.03, "interaction": 0.02}, n_clusters=200),
]


def judged(cell: Cell, scenario: str, repetitions: range) -> list[Verdict]:
    """Verdicts of independent experiments; validation sees the seeds' quality through noise."""
    with threadpool_limits(1):  # matrices this small are slower on two threads
        return [_judged_once(cell, scenario, repetition) for repetition in repetitions]


def _judged_once(cell: Cell, scenario: str, repetition: int) -> Verdict:
    rng = np.random.default_rng([zlib.crc32(f"{cell.name}: {scenario}".encode()), repetition])
    tasks, quality = cell.simulate(cell, SCENARIOS[scenario], rng)
    noisy = quality + quality.std() * rng.normal(size=cell.n_seeds)
    settings = GateSettings(looks=(cell.n_seeds,), resampling_seed=repetition)
    return judge("joint", tasks, settings, dict(enumerate(noisy.tolist())))


def promoted_but_for_shipping(verdict: Verdict) -> bool:
    """All targets non-inferior and a gain, whatever the shipping seed does by itself."""
    gains = any(task.gains for task in verdict.tasks) or (verdict.mean and verdict.mean.gains)
    return bool(gains) and all(task.state == "non_inferior" for task in verdict.tasks)


def seeds_alone(verdict: Verdict) -> bool:
    """What a paired t-test over seeds, blind to test noise, would have let through."""
    return all(task.sensitivity.paired_t_lower > -task.margin for task in verdict.tasks)


def rates(verdicts: list[Verdict]) -> dict[str, dict[str, float]]:
    """Each outcome's rate with its exact 95 % binomial interval."""
    counts = {
        "promoted": sum(verdict.decision == "promote" for verdict in verdicts),
        "promoted but for shipping": sum(map(promoted_but_for_shipping, verdicts)),
        "rejected": sum(verdict.decision == "reject" for verdict in verdicts),
        "passed by seeds alone": sum(map(seeds_alone, verdicts)),
    }
    intervals = {
        name: binomtest(count, len(verdicts)).proportion_ci(0.95) for name, count in counts.items()
    }
    return {
        name: {
            "rate": count / len(verdicts),
            "low": float(intervals[name].low),
            "high": float(intervals[name].high),
        }
        for name, count in counts.items()
    }


def measured(cell: Cell, repetitions: int) -> dict[str, Any]:
    """All scenarios in one cell, and whether each promise was kept."""
    outcomes, squared_errors, standard_errors = {}, [], []
    for scenario, effects in SCENARIOS.items():
        verdicts = judged(cell, scenario, range(repetitions))
        outcomes[scenario] = rates(verdicts)
        for verdict in verdicts:
            for effect, task in zip(effects, verdict.tasks, strict=False):
                squared_errors.append((task.difference.delta / task.margin - effect) ** 2)
                standard_errors.append(task.standard_error / task.margin)
    return {
        "name": cell.name,
        "dials": cell.dials,
        "n_seeds": cell.n_seeds,
        "n_clusters": cell.n_clusters,
        "repetitions": repetitions,
        "true_standard_error": float(np.sqrt(np.mean(squared_errors))),
        "estimated_standard_error": float(np.mean(standard_errors)),
        "outcomes": outcomes,
        "promises": [promise_kept(outcomes, *promise) for promise in PROMISES],
    }


def promise_kept(
    outcomes: dict[str, Any], scenario: str, outcome: str, bound: str, target: float
) -> dict[str, Any]:
    """``kept`` or ``missed`` by the measured rate, ``unsure`` if the interval holds the target."""
    found = outcomes[scenario][outcome]
    kept = found["rate"] <= target if bound == "at most" else found["rate"] >= target
    sure = not found["low"] <= target <= found["high"]
    return {
        "promise": f"{scenario}: {outcome} {bound} {target:.0%}",
        "verdict": ("kept" if kept else "missed") + ("" if sure else ", unsure"),
        **found,
    }


def printed(cell: dict[str, Any]) -> str:
    """The cell as text."""
    lines = [
        f"{cell['name']}: S={cell['n_seeds']}, C={cell['n_clusters']}, se/m"
        f" {cell['true_standard_error']:.3f} (estimated {cell['estimated_standard_error']:.3f}),"
        f" {cell['repetitions']} repetitions"
    ]
    beside = [
        ("worse", "passed by seeds alone"),
        ("better", "promoted but for shipping"),
        ("worse", "promoted but for shipping"),
    ]
    for found in cell["promises"] + [
        {"promise": f"{scenario}: {outcome}", "verdict": "", **cell["outcomes"][scenario][outcome]}
        for scenario, outcome in beside
    ]:
        lines.append(
            f"  {found['verdict']:14} {found['promise']:35} {found['rate']:6.1%}"
            f"  [{found['low']:.1%}, {found['high']:.1%}]"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=250, help="a scenario; AUC: a fifth")
    parser.add_argument("--json", type=Path, help="write all rates here")
    arguments = parser.parse_args()
    start, results = time.perf_counter(), []
    for cell in CELLS:
        repetitions = arguments.repetitions // (5 if cell.simulate is auc else 1)
        results.append(measured(cell, max(1, repetitions)))
        print(printed(results[-1]), flush=True)
    print(f"{time.perf_counter() - start:.0f} s")
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
