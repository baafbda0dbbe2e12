"""Time and memory of a similarity graph, beside scipy's plain product of the same matrix.

100,000 users, 1,000,000 interactions with 20,000 items, some items much more popular than others.
The plain product counts common items of all pairs and keeps nothing but the counts; ours also
ranks pairs and keeps the best of each user, at METHODS C.1's thresholds for small data, and
beside that with one item in common enough, so that all pairs are ranked. Each run has its own
process, whose peak memory is read before and after; the arms take turns, medians are compared.

    python -m benchmarks.similarity_graph --json benchmarks/results/similarity_graph.json
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import sparse

from counterpoint.files import write_json
from counterpoint.graph.similarity import Similarity, similar_pairs

USERS, ITEMS, INTERACTIONS = 100_000, 20_000, 1_000_000
PLAIN, OURS, ALL = "plain product", "similarity graph", "similarity graph, all pairs ranked"
# promise -> what is measured of ours and of the plain product, limit
PROMISES = {"time": ("seconds", 1.5), "peak memory above the data": ("megabytes", 0.3)}


def write_incidence(path: Path, interactions: int) -> None:
    """``[users, items]`` of ones: distinct pairs, users alike, items by a long-tailed weight."""
    rng = np.random.default_rng(0)
    weight = rng.lognormal(size=ITEMS)
    keys = np.zeros(0, np.int64)
    while len(keys) < interactions:
        items = rng.choice(ITEMS, interactions, p=weight / weight.sum())
        keys = np.unique(np.append(keys, rng.integers(USERS, size=interactions) * ITEMS + items))
    users, items = np.divmod(rng.choice(keys, interactions, replace=False), ITEMS)
    ones = np.ones(interactions, np.int32)
    sparse.save_npz(path, sparse.csr_array((ones, (users, items)), shape=(USERS, ITEMS)))


def plain_product(incidence: sparse.csr_array) -> int:
    """How many pairs have anything in common, each counted twice, and each user with itself."""
    return int((incidence @ incidence.T.tocsr()).nnz)


def similarity_graph(min_overlap: int) -> Callable[[sparse.csr_array], int]:
    """How many edges the graph has."""
    rule = Similarity(of="user", top=10, min_overlap=min_overlap, min_degree=3)
    return lambda incidence: len(similar_pairs(incidence, rule)[0])


ARMS: dict[str, Callable[[sparse.csr_array], int]] = {
    PLAIN: plain_product,
    OURS: similarity_graph(2),
    ALL: similarity_graph(1),
}


def peak() -> float:
    """Megabytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(arm: str, path: Path) -> dict[str, float]:
    """One run in this process: seconds, megabytes beyond what the data took, edges or pairs."""
    incidence = sparse.load_npz(path)
    before, started = peak(), time.perf_counter()
    found = ARMS[arm](incidence)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "megabytes": peak() - before, "found": found}


def in_its_own_process(arm: str, path: Path) -> dict[str, float]:
    """What :func:`run` finds; this process stays small, for a child's peak begins at its own."""
    command = [sys.executable, "-m", "benchmarks.similarity_graph", "--arm", arm]
    done = subprocess.run(
        [*command, "--incidence", str(path)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measured(path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Medians by arm."""
    runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(repeats):
        for arm, found in runs.items():
            found.append(in_its_own_process(arm, path))
    return {
        arm: {key: statistics.median(row[key] for row in found) for key in found[0]}
        for arm, found in runs.items()
    }


def main() -> None:
    """Measure all arms and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--interactions", type=int, default=INTERACTIONS)
    parser.add_argument("--arm", choices=(*ARMS, "write"), help=argparse.SUPPRESS)
    parser.add_argument("--incidence", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm == "write":
        write_incidence(arguments.incidence, arguments.interactions)
        return
    if arguments.arm:
        print(json.dumps(run(arguments.arm, arguments.incidence)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "incidence.npz"
        command = [sys.executable, "-m", "benchmarks.similarity_graph", "--arm", "write"]
        command += ["--incidence", str(path), "--interactions", str(arguments.interactions)]
        subprocess.run(command, check=True)
        arms = measured(path, arguments.repeats)
    promises: list[dict[str, Any]] = []
    for name, (key, limit) in PROMISES.items():
        ratio = arms[OURS][key] / arms[PLAIN][key]
        promises.append({"name": name, "ratio": ratio, "limit": limit, "kept": ratio <= limit})
    for arm, found in arms.items():
        print(f"{arm}: {found['seconds']:.1f} s, {found['megabytes']:.0f} MB, {found['found']:.0f}")
    for promise in promises:
        state = "kept" if promise["kept"] else "MISSED"
        print(f"{promise['name']}: {promise['ratio']:.2f}, promised {promise['limit']}: {state}")
    if arguments.json:
        versions = {"python": platform.python_version(), "scipy": scipy.__version__}
        result = {"versions": versions, "arms": arms, "promises": promises}
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
