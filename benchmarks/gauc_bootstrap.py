"""Time of the cluster bootstrap of GAUC, beside a straightforward one in numpy.

10,000 resamples of 100,000 users with 10 rows each, of one model, as the promise has it, and of
six (three seeds of a joint model and their twins), which share the draws. The straightforward one
draws users and takes the mean of what was drawn, resample by resample. Both begin with the users'
own AUC. Their draws differ, so that the values are compared as distributions: means and standard
deviations over the resamples may be 5 standard errors apart (tests hold ours to resamples written
out). The arms take turns, medians are compared.

    python -m benchmarks.gauc_bootstrap --json benchmarks/results/gauc_bootstrap.json
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = 2
os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)  # read when numpy is imported

import numpy as np  # noqa: E402

from counterpoint.files import write_json  # noqa: E402
from counterpoint.metrics import Parts, resampled_values  # noqa: E402
from counterpoint.metrics.additive import user_auc  # noqa: E402

USERS, ROWS_EACH, RESAMPLES, MODELS = 100_000, 10, 10_000, (1, 6)
LIMIT, ERRORS = 0.5, 5.0
Arm = Callable[[], np.ndarray]  # values [resamples, models]


def random_models(users: int, models: int) -> dict[str, Parts]:
    """Scores of the same rows by several models; some users have one class alone."""
    rng = np.random.default_rng(0)
    n = users * ROWS_EACH
    user = rng.integers(users, size=n)
    label = (rng.random(n) < 0.1).astype(np.uint8)
    return {
        f"model {k}": Parts(
            "binary", user, np.arange(n), label, rng.random(n) * (0.7 + 0.3 * label)
        )
        for k in range(models)
    }


def straightforward(models: dict[str, Parts], resamples: int) -> Arm:
    """A mean of users' AUC by rows for each resample and model."""

    def take() -> np.ndarray:
        users, place = np.unique(next(iter(models.values())).cluster, return_inverse=True)
        rows = np.zeros(len(users))
        auc = np.zeros((len(models), len(users)))
        for k, parts in enumerate(models.values()):
            of_row, both_classes = user_auc(parts)
            auc[k, place] = of_row
            rows = np.bincount(place, weights=both_classes)
        rng = np.random.default_rng(1)
        values = np.empty((resamples, len(models)))
        for resample in values:
            drawn = rng.integers(len(users), size=len(users))
            weight = rows[drawn]
            total = weight.sum()
            for k, of_user in enumerate(auc):
                resample[k] = of_user[drawn] @ weight / total
        return values

    return take


def ours(models: dict[str, Parts], resamples: int) -> Arm:
    """The product's bootstrap, with what it computes before it draws."""

    def take() -> np.ndarray:
        rng = np.random.default_rng(1)
        return resampled_values([("gauc", models)], n_resamples=resamples, rng=rng)[0]

    return take


def standard_errors_apart(a: np.ndarray, b: np.ndarray) -> float:
    """The most by which means or standard deviations over resamples differ, in standard errors."""
    n = len(a)
    sd = (a.std(0) + b.std(0)) / 2
    of_mean = np.abs(a.mean(0) - b.mean(0)) / (sd * (2 / n) ** 0.5)
    of_sd = np.abs(a.std(0) - b.std(0)) / (sd * (1 / n) ** 0.5)
    return float(max(of_mean.max(), of_sd.max()))


def measured(models: int, users: int, resamples: int, repeats: int) -> dict[str, Any]:
    """Median seconds of both arms, and by how many standard errors their values differ."""
    parts = random_models(users, models)
    arms = {"ours": ours(parts, resamples), "straightforward": straightforward(parts, resamples)}
    times: dict[str, list[float]] = {name: [] for name in arms}
    values: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        for name, arm in arms.items():
            started = time.perf_counter()
            values[name] = arm()
            times[name].append(time.perf_counter() - started)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    apart = standard_errors_apart(values["ours"], values["straightforward"])
    ratio = seconds["ours"] / seconds["straightforward"]
    return {"models": models, "seconds": seconds, "ratio": ratio, "apart": apart}


def main() -> None:
    """Measure one model and several, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    arguments = parser.parse_args()
    found = []
    for models in MODELS:
        row = measured(models, arguments.users, arguments.resamples, arguments.repeats)
        seconds = {name: round(time, 1) for name, time in row["seconds"].items()}
        print(
            models,
            seconds,
            "s, ratio",
            round(row["ratio"], 2),
            "apart",
            round(row["apart"], 1),
            flush=True,
        )
        if row["apart"] > ERRORS:
            sys.exit("the values differ; nothing is compared")
        found.append(row)
    ratio = found[0]["ratio"]
    promise = {"name": "one model", "ratio": ratio, "limit": LIMIT, "kept": ratio <= LIMIT}
    print(f"{ratio:.2f}, promised {LIMIT}: {'kept' if promise['kept'] else 'MISSED'}")
    if arguments.json:
        versions = {"python": platform.python_version(), "numpy": np.__version__}
        result = {"threads": THREADS, "versions": versions, "rows": found, "promises": [promise]}
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
