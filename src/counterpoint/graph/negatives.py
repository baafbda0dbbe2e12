"""Negative samples: uniform or by popularity, from training rows alone."""

import numpy as np

from counterpoint.data.splits import mixed_bits


def _popularity(destinations: np.ndarray, n_dst: int) -> np.ndarray:
    """Cumulative share of training rows by destination ``[n_dst]``."""
    counts = np.bincount(destinations, minlength=n_dst).astype(np.float64)
    return np.asarray(np.cumsum(counts) / max(counts.sum(), 1.0))


def evaluation_candidates(
    train_pairs: np.ndarray, sizes: tuple[int, int], count: int, *, popularity: bool, seed: int
) -> np.ndarray:
    """Fixed candidate destinations for every source node, none a training positive of it.

    Drawn for all sources, whoever is held out, so that no held-out row can move a byte of it.

    Args:
        train_pairs: ``[n, 2]`` training positives.
        sizes: numbers of source and destination nodes.
        count: candidates a source.
        popularity: draw by training popularity instead of uniformly.
        seed: of the draw.

    Returns:
        ``[n_src, count]`` destination places. A source that has trained on nearly all
        destinations may keep some of them: eight redraws are made, then the draw stands.
    """
    n_src, n_dst = sizes
    known = np.unique(train_pairs[:, 0] * n_dst + train_pairs[:, 1])
    cumulative = _popularity(train_pairs[:, 1], n_dst) if popularity else None
    cells = np.arange(n_src * count, dtype=np.uint64)
    drawn = np.empty(n_src * count, dtype=np.int64)
    redraw = np.arange(n_src * count)
    for attempt in range(8):
        key = mixed_bits(np.array([seed * 8 + attempt], dtype=np.uint64))
        u = (mixed_bits(cells[redraw] ^ key) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
        if cumulative is None:
            drawn[redraw] = (u * n_dst).astype(np.int64)
        else:
            drawn[redraw] = np.minimum(np.searchsorted(cumulative, u, side="right"), n_dst - 1)
        pairs = (redraw // count) * n_dst + drawn[redraw]
        redraw = redraw[is_member(pairs, known)]
        if not len(redraw):
            break
    return drawn.reshape(n_src, count)


def is_member(keys: np.ndarray, sorted_keys: np.ndarray) -> np.ndarray:
    """``[n] bool``: which of ``keys`` stand in ``sorted_keys``."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[places] == keys)
