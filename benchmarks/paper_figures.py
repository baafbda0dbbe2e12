"""AUX-TS's Fig. 1, 5 and 6 with Table 4, on MovieTweetings and on Cora: do they hold?

Data, encoder and budget are those of the studies <data set>_joint_gcn (joint: from scratch) and
<data set>_pretrained_gcn (fine-tuned: from a pre-trained trunk). METHODS B.9 lists the claims:

    Fig. 1   over a grid of fixed weights both schemes have their best elsewhere, and some
             combinations fall below the target alone
    Fig. 5   under fixed weights the cosines with the target rise, then decay; fine-tuning's are
             much smaller
    Fig. 6   AUX-TS gives a loss that is scaled up less weight, SELAR more
    Table 4  scaling losses costs SELAR and not AUX-TS

    python -m benchmarks.paper_figures cora

writes benchmarks/results/paper_figures_cora.json. Every run is written when it is done; a killed
benchmark goes on. Runs go seed by seed, and the result is of the seeds that have all their runs.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.intervals import over_seeds
from benchmarks.results import (
    DATA,
    RESULTS,
    WORK,
    Study,
    commit,
    source_digest,
    study_digest,
    study_named,
)
from counterpoint.data.folder import open_folder
from counterpoint.data.importers import import_dataset
from counterpoint.files import new_folder, read_json, sha256_of_text, write_json
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.metrics.values import value
from counterpoint.stages.train import merged
from counterpoint.training.loop import Trainer
from counterpoint.training.pretrain import (
    PretrainSettings,
    load_trunk,
    pretrained_trunk,
    trunk_path,
    write_trunk,
)
from counterpoint.training.scoring import full_representations, scored_parts
from counterpoint.training.settings import TrainSettings, cell_named

STUDY = {"joint": "{}_joint_gcn", "fine-tuned": "{}_pretrained_gcn"}  # of a data set
DATA_SETS = ("movietweetings", "cora")
EDGES, ATTRIBUTES = AUXILIARIES = ("edges", "attributes")
GRID = (0.0, 0.25, 1.0, 2.0)
PLAIN = (1.0, 1.0)  # weights
SCALES = ((1.0, 1.0), (1.0, 5.0), (5.0, 1.0), (5.0, 5.0))  # edges, attributes
KEPT = ("loss", "weight", "cosine")  # of the history
METHODS = {
    "AUX-TS": ("aux_ts", {"granularity": "example", "similarities": "all"}),
    "SELAR": ("selar", {}),
}


def study_of(data_set: str, scheme: str) -> Study:
    return study_named(STUDY[scheme].format(data_set))


@dataclass(frozen=True)
class Run:
    """One training run; ``weights`` are fixed ones, ``method`` learns them."""

    data_set: str
    scheme: str
    seed: int
    weights: tuple[float, float] | None = None
    method: str = ""
    scales: tuple[float, float] = (1.0, 1.0)

    @property
    def name(self) -> str:
        what = self.method or f"fixed {self.weights[0]:g} {self.weights[1]:g}"
        return f"{self.scheme} {what} at {self.scales[0]:g} {self.scales[1]:g} seed {self.seed}"

    @property
    def cell(self) -> str:
        weighting = METHODS[self.method][0] if self.method else "fixed"
        return f"shared_bottom-gcn-{weighting}"

    @property
    def settings(self) -> TrainSettings:
        """Those of the scheme's study; under plain weights the gradients are compared too."""
        train = study_of(self.data_set, self.scheme).params["train"]
        if self.method:
            weighting, values = METHODS[self.method]
        else:
            weighting, values = (
                "fixed",
                {"weights": dict(zip(AUXILIARIES, self.weights, strict=True))},
            )
        scales = dict(zip(AUXILIARIES, self.scales, strict=True))
        own = {
            "weighting": {weighting: values},
            "auxiliaries": {name: {"scale": scale} for name, scale in scales.items()},
            "diagnose_every": 1 if self.weights == PLAIN else 0,
        }
        return TrainSettings.model_validate(merged(train, own))


def runs_of(data_set: str, seed: int) -> Iterator[Run]:
    """Fig. 1 and 5 in both schemes, Fig. 6 and Table 4 as in the paper when fine-tuning."""
    for scheme, weights in product(STUDY, product(GRID, GRID)):
        yield Run(data_set, scheme, seed, weights)
    for method, scales in product(METHODS, SCALES):
        yield Run(data_set, "fine-tuned", seed, method=method, scales=scales)


def store_in(work: Path, data: Path, data_set: str) -> GraphStore:
    source = study_of(data_set, "joint").source
    if not (work / "data").is_dir():
        import_dataset(source.importer, data / source.folder, work / "data")
    if not (work / "graph").is_dir():
        with new_folder(work / "graph") as target:
            build_graph(open_folder(work / "data"), BuildSettings(), target)
    return open_store(work / "graph")


def trunk_of(run: Run, store: GraphStore, work: Path) -> Path:
    path = trunk_path(work / "trunks", "gcn", run.seed)
    if not path.is_file():
        params = study_of(run.data_set, run.scheme).params
        settings = PretrainSettings.model_validate(params["pretrain"])
        train = TrainSettings.model_validate(params["train"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_trunk(path, pretrained_trunk(store, "gcn", settings, train, run.seed, print))
    return path


def outcome(graph: TrainingGraph, run: Run, work: Path) -> dict[str, Any]:
    """Metrics on both held-out splits at the best epoch on valid, and the history by epoch."""
    trainer = Trainer(graph, cell_named(run.cell), graph.meta.tasks, run.settings, run.seed)
    if run.scheme == "fine-tuned":
        load_trunk(trunk_of(run, graph.store, work), trainer.model)
    fit = trainer.fit()
    ((name, task),) = graph.meta.tasks.items()
    h, metrics = full_representations(fit.model, graph), dict.fromkeys((task.metric, *task.also))
    found: dict[str, Any] = {}
    for split in ("valid", "test"):
        parts = scored_parts(fit.model, graph, h, name, split)
        found[split] = {metric: value(metric, parts) for metric in metrics}
    curves: dict[str, list[float]] = {}
    for row in fit.history:
        curve = row["name"] if not row["task"] else f"{row['name']}/{row['task']}"
        if curve.split("/")[0] in KEPT:
            curves.setdefault(curve, []).append(row["value"])
    return {**found, "curves": curves}


def quarters(curves: list[list[float]]) -> list[float]:
    """Mean over seeds and over each quarter of the epochs that all have reached."""
    means = [fmean(values) for values in zip(*curves, strict=False)]
    cuts = [round(part * len(means) / 4) for part in range(5)]
    return [fmean(means[a:b]) for a, b in pairwise(cuts)]


@dataclass(frozen=True)
class Outcomes:
    """All runs of some seeds; an arm is a run's fields but data set and seed."""

    data_set: str
    task: str
    metrics: tuple[str, ...]
    done: dict[Run, dict[str, Any]]
    seeds: tuple[int, ...]

    def of(self, arm: dict[str, Any]) -> list[dict[str, Any]]:
        """What the runs of an arm gave, seed after seed."""
        return [self.done[Run(self.data_set, seed=seed, **arm)] for seed in self.seeds]

    def test(self, metric: str, arm: dict[str, Any]) -> list[float]:
        """A metric on test, seed after seed."""
        return [found["test"][metric] for found in self.of(arm)]

    def compared(self, arm: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
        """The metric's paired difference over seeds, its standard error and 95 % interval."""
        values = self.test(self.metrics[0], arm), self.test(self.metrics[0], other)
        gains = [a - b for a, b in zip(*values, strict=True)]
        interval = over_seeds(gains)
        error = stdev(gains) / len(gains) ** 0.5
        return {"gain": interval.pop("mean"), "standard_error": error, **interval}

    def row(self, arm: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """Mean metrics of an arm, the first also on valid, and how it compares."""
        means = {metric: fmean(self.test(metric, arm)) for metric in self.metrics}
        valid = fmean(found["valid"][self.metrics[0]] for found in self.of(arm))
        return {"test": means, "valid": valid, **self.compared(arm, other)}

    def curve(self, name: str, arm: dict[str, Any]) -> list[float]:
        """A curve of the history by quarters."""
        return quarters([found["curves"][name] for found in self.of(arm)])


def summary(outcomes: Outcomes) -> dict[str, Any]:
    """What the page shows."""
    grid, cosines, scaled = {}, {}, []
    for scheme in STUDY:
        alone = {"scheme": scheme, "weights": (0.0, 0.0)}
        grid[scheme] = [
            {
                **dict(zip(AUXILIARIES, weights, strict=True)),
                **outcomes.row({"scheme": scheme, "weights": weights}, alone),
            }
            for weights in product(GRID, GRID)
        ]
        plain = {"scheme": scheme, "weights": PLAIN}
        cosines[scheme] = {
            name: outcomes.curve(f"cosine/{name}~{outcomes.task}", plain) for name in AUXILIARIES
        }
    for method, scales in product(METHODS, SCALES):
        arm = {"scheme": "fine-tuned", "method": method, "scales": scales}
        row = outcomes.row(arm, {**arm, "scales": SCALES[0]})
        names = (outcomes.task, *AUXILIARIES)
        weights = {name: outcomes.curve(f"weight/{name}", arm) for name in names}
        label = f"{scales[0]:g}:{scales[1]:g}"
        scaled.append({"method": method, "scales": label, **row, "weights": weights})
    claims = [*grid_claims(outcomes, grid), *cosine_claims(cosines), *scale_claims(scaled)]
    return {
        "seeds": len(outcomes.seeds),
        "task": outcomes.task,
        "metrics": list(outcomes.metrics),
        "commit": commit(),
        "grid": grid,
        "cosines": cosines,
        "scales": scaled,
        "claims": claims,
    }


def claim(says: str, holds: bool, found: str) -> dict[str, Any]:
    return {"says": says, "holds": holds, "found": found}


def grid_claims(outcomes: Outcomes, grid: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Fig. 1; the best are best on valid, and compared on test."""
    best = {scheme: max(rows, key=lambda row: row["valid"]) for scheme, rows in grid.items()}
    at = {scheme: (row[EDGES], row[ATTRIBUTES]) for scheme, row in best.items()}
    other = dict(zip(STUDY, reversed(STUDY), strict=True))
    low = {
        scheme: outcomes.compared(
            {"scheme": scheme, "weights": at[scheme]},
            {"scheme": scheme, "weights": at[other[scheme]]},
        )["low"]
        for scheme in STUDY
    }
    where = "; ".join(f"{s} at {w[0]:g} and {w[1]:g}" for s, w in at.items())
    yield claim(
        "Fig. 1: the schemes have their best fixed weights elsewhere.",
        all(bound > 0 for bound in low.values()),
        f"best edges and attributes {where}; over the other scheme's best, lower bounds "
        + ", ".join(f"{bound:+.4f}" for bound in low.values()),
    )
    below = {scheme: sum(row["high"] < 0 for row in rows) for scheme, rows in grid.items()}
    above = {scheme: sum(row["low"] > 0 for row in rows) for scheme, rows in grid.items()}
    counts = (f"{s}: {below[s]} below, {above[s]} above" for s in STUDY)
    yield claim(
        "Fig. 1: bad weights fall below the target alone.",
        all(below.values()),
        f"of {len(GRID) ** 2 - 1} combinations, by 95 % intervals that are not corrected for "
        "their number, " + "; ".join(counts),
    )


def cosine_claims(cosines: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Fig. 5."""
    every = [curve for by_task in cosines.values() for curve in by_task.values()]
    peaks = [max(range(4), key=lambda q, c=curve: c[q]) for curve in every]
    yield claim(
        "Fig. 5: cosines rise, then decay.",
        all(peak in (1, 2) for peak in peaks),
        f"largest in quarter {', '.join(str(peak + 1) for peak in peaks)} of the rows above",
    )
    size = {s: [fmean(map(abs, c)) for c in by_task.values()] for s, by_task in cosines.items()}
    yield claim(
        "Fig. 5: they are much smaller in fine-tuning.",
        all(tuned < joint / 2 for joint, tuned in zip(*size.values(), strict=True)),
        "mean size " + "; ".join(f"{s} {a:.3f} and {b:.3f}" for s, (a, b) in size.items()),
    )


def scale_claims(scaled: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Fig. 6 and Table 4."""
    by = {(row["method"], row["scales"]): row for row in scaled}
    for method, word in (("AUX-TS", "less"), ("SELAR", "more")):
        ratios = [
            fmean(by[method, label]["weights"][name]) / fmean(by[method, "1:1"]["weights"][name])
            for name, label in ((EDGES, "5:1"), (ATTRIBUTES, "1:5"))
        ]
        yield claim(
            f"Fig. 6: {method} gives a loss that is scaled up {word} weight.",
            all((ratio < 1) == (word == "less") for ratio in ratios),
            f"scaled by 5, edges weigh {ratios[0]:.3f} and attributes {ratios[1]:.3f} of before",
        )
    worst = {
        method: min((row for row in scaled if row["method"] == method), key=lambda row: row["gain"])
        for method in METHODS
    }
    lost = {method: row["high"] < 0 for method, row in worst.items()}
    yield claim(
        "Table 4: scaling losses costs SELAR and not AUX-TS.",
        lost["SELAR"] and not lost["AUX-TS"],
        "worst scales against 1:1: "
        + "; ".join(
            f"{m} {row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}] at {row['scales']}"
            for m, row in worst.items()
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_set", choices=DATA_SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of artefacts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = f"paper_figures_{arguments.data_set}"
    studies = (STUDY[scheme].format(arguments.data_set) for scheme in STUDY)
    depends = [source_digest(), *map(study_digest, studies)]  # no run of other code goes on
    work = arguments.work / f"{name}-{sha256_of_text(''.join(depends))[:12]}"
    (work / "runs").mkdir(parents=True, exist_ok=True)
    graph = TrainingGraph(store_in(work, arguments.data, arguments.data_set))
    ((task, schema),) = graph.meta.tasks.items()
    metrics = (schema.metric, *schema.also)
    done: dict[Run, dict[str, Any]] = {}
    for seed in range(arguments.seeds):
        for run in runs_of(arguments.data_set, seed):
            path = work / "runs" / f"{run.name}.json"
            if not path.is_file():
                write_json(path, outcome(graph, run, work))
                print(run.name, read_json(path)["test"], flush=True)
            done[run] = read_json(path)
        if seed:  # one seed has no standard error
            outcomes = Outcomes(arguments.data_set, task, metrics, done, tuple(range(seed + 1)))
            write_json(RESULTS / f"{name}.json", summary(outcomes))


if __name__ == "__main__":
    main()
