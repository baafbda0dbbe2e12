"""What a matrix of training positives says of every destination: popularity, item-CF, SVD."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from counterpoint.graph.store import GraphStore

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Scorer = Callable[[Ints], Floats]  # sources [b] -> scores of all destinations [b, n_dst]

RANK = 32
CELLS = 1 << 24  # scores held at a time
MOST_PRODUCTS = 10**10  # item-CF is left out beyond this many multiplications (minutes)


def training_positives(store: GraphStore, task_name: str) -> sparse.csr_array:
    """``[n_src, n_dst]`` of ones where the task has a positive training row."""
    task, rows = store.meta.tasks[task_name], store.rows(task_name, "train")
    src, dst = rows.entity[rows.label == 1].T
    n_src, n_dst = (store.meta.count(node_type) for node_type in task.node_types)
    counts = sparse.csr_array((np.ones(len(src), np.float32), (src, dst)), shape=(n_src, n_dst))
    counts.data[:] = 1.0
    return counts


def scorers(positives: sparse.csr_array, sources: Ints, seed: int) -> dict[str, Scorer]:
    """Popularity, item-CF and SVD, those that this matrix and these sources permit."""
    found = {"popularity": popularity(positives)}
    if item_cf_products(positives, sources) <= MOST_PRODUCTS:
        found["item-CF"] = item_cf(positives)
    rank = min(RANK, min(positives.shape) - 1)
    if rank >= 1:
        found[f"SVD-{rank}"] = truncated_svd(positives, rank, seed)
    return found


def popularity(positives: sparse.csr_array) -> Scorer:
    """Number of training positives of the destination, whatever the source."""
    counts = positives.sum(axis=0)
    return lambda sources: np.broadcast_to(counts, (len(sources), len(counts)))


def item_cf(positives: sparse.csr_array) -> Scorer:
    """Summed cosine of a destination to those of the source (Sarwar et al. 2001).

    The cosine of two destinations is the number of sources that have both over the geometric mean
    of the numbers that have each. No destination-by-destination matrix is made: what a block of
    sources needs goes through the sources that resemble it.
    """
    scaled = positives @ sparse.diags_array(1 / np.sqrt(np.maximum(positives.sum(axis=0), 1)))
    by_destination = scaled.T.tocsr()
    return lambda sources: ((positives[sources] @ by_destination) @ scaled).toarray()


def item_cf_products(positives: sparse.csr_array, sources: Ints) -> float:
    """Multiplications that :func:`item_cf` needs to score ``sources``."""
    wide = positives.astype(np.float64)
    return float((wide @ (wide.T @ wide.sum(axis=1)))[np.unique(sources)].sum())


def truncated_svd(positives: sparse.csr_array, rank: int, seed: int) -> Scorer:
    """Low-rank matrix of the positives under symmetric, regularised normalisation.

    Rows and columns are divided by the root of their sum plus one (the plus one keeps rare ones
    from taking a direction each; Chaudhuri et al. 2012), columns are scaled back after. A
    destination without a positive scores exactly zero.
    """
    from sklearn.decomposition import TruncatedSVD

    of_src, of_dst = (np.sqrt(1 + positives.sum(axis=axis)) for axis in (1, 0))
    scaled = sparse.diags_array(1 / of_src) @ positives @ sparse.diags_array(1 / of_dst)
    svd = TruncatedSVD(rank, random_state=seed).fit(scaled)
    src = svd.transform(scaled).astype(np.float32)
    dst = (svd.components_ * np.where(of_dst > 1, of_dst, 0)).astype(np.float32)
    return lambda sources: src[sources] @ dst


def seen_then_popular(positives: sparse.csr_array, seen: sparse.csr_array) -> Scorer:
    """How often ``seen`` has the destination for the source; among equals, popularity."""
    counts = positives.sum(axis=0)
    first = counts.max() + 1
    return lambda sources: seen[sources].toarray() * first + counts


def source_blocks(sources: Ints, n_dst: int) -> Iterator[Ints]:
    """Places of ``sources``, grouped by source, few enough for all their scores to be held."""
    yield from np.split(
        np.argsort(sources, kind="stable"),
        np.arange(0, len(sources), max(1, CELLS // n_dst))[1:],
    )


def block_scores(scorer: Scorer, sources: Ints) -> Floats:
    """Scores ``[b, n_dst]`` of a block of sources that may repeat."""
    distinct, place = np.unique(sources, return_inverse=True)
    return np.asarray(scorer(distinct), dtype=np.float32)[place]
