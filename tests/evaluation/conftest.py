from collections.abc import Callable

import numpy as np
import pytest

from counterpoint.evaluation.evidence import TaskEvidence
from counterpoint.graph.store import GraphMeta
from counterpoint.metrics import Parts


def made_task(
    name: str = "buy",
    delta: float = 0.0,
    *,
    margin: float = 0.02,
    noise: float = 0.005,
    n_seeds: int = 10,
    n_clusters: int = 200,
    cluster_type: str = "user",
    seed: int = 0,
) -> TaskEvidence:
    """A log-loss task whose joint model is better by ``delta``.

    The seed-mean difference has standard error ``noise``, half its variance from the seeds and
    half from the clusters; the noise is centred, so that ``delta`` is met exactly. The twin's
    log loss is about 0.45, chance is 0.69.
    """
    rng = np.random.default_rng(seed)
    of_seed = _standard(rng, n_seeds) * noise * np.sqrt(n_seeds / 2)
    of_cluster = _standard(rng, n_clusters) * noise * np.sqrt(n_clusters / 2)
    twin = 0.4 + (rng.random(n_clusters) + rng.random((n_seeds, 1))) / 20
    joint = twin - delta - of_seed[:, None] - of_cluster
    return TaskEvidence(name, "logloss", margin, cluster_type, _losses(twin), _losses(joint))


def _standard(rng: np.random.Generator, n: int) -> np.ndarray:
    drawn = rng.normal(size=n)
    return (drawn - drawn.mean()) / drawn.std(ddof=1)


def _losses(losses: np.ndarray) -> dict[int, Parts]:
    """Rows with label 1 and the log losses given (of a balanced label: half the rows are 0)."""
    n = losses.shape[1]
    label = np.arange(2 * n) % 2
    return {
        seed: Parts(
            "binary",
            np.arange(2 * n) // 2,
            np.arange(2 * n),
            label,
            np.where(label == 1, np.exp(-np.repeat(loss, 2)), 1 - np.exp(-np.repeat(loss, 2))),
        )
        for seed, loss in enumerate(losses)
    }


@pytest.fixture(scope="session")
def make_task() -> Callable[..., TaskEvidence]:
    return made_task


RELATIONS = {
    "follows": ("user", "shop"),
    "likes": ("user", "brand"),
    "knows": ("user", "user"),
    "sold_by": ("item", "shop"),
}


@pytest.fixture(scope="session")
def planted_meta() -> GraphMeta:
    """A task on users and items, whose signals come from both and from shops and brands."""
    both = [
        {"name": f"{prefix}{name}", "src": ends[0], "dst": ends[1], "edges": 9, "derived": False}
        for name, (src, dst) in RELATIONS.items()
        for prefix, ends in (("", (src, dst)), ("rev-", (dst, src)))
    ]
    task = {"kind": "binary", "entity": ("user", "item")}
    return GraphMeta.model_validate(
        {
            "name": "planted",
            "node_types": [{"name": n, "count": 9} for n in ("user", "item", "shop", "brand")],
            "relations": both,
            "tasks": {"click": task},
            "cross_task": "drop",
            "candidates": "all",
        }
    )
