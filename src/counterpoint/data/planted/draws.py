"""Popularity, and distinct draws by it."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def zipf_popularity(size: int, exponent: float, generator: np.random.Generator) -> Floats:
    """Probabilities ``[size]`` proportional to rank^-exponent, ranks shuffled."""
    weights = np.arange(1, size + 1, dtype=np.float64) ** -exponent
    generator.shuffle(weights)
    weights /= weights.sum()
    return weights


def distinct_draws(
    counts: Ints, popularity: Floats, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """For row r draw ``counts[r]`` distinct columns by ``popularity``, without replacement.

    Draws again, for each row as often as it lacks columns, until no row lacks any.

    Returns:
        rows and columns, each ``[counts.sum()]``, sorted by row, then column.
    """
    columns = len(popularity)
    cumulative = np.cumsum(popularity)
    cumulative /= cumulative[-1]
    every_row = np.arange(len(counts), dtype=np.int64)
    found = np.empty(0, np.int64)
    lacking = counts
    while lacking.any():
        drawn = np.searchsorted(cumulative, generator.random(lacking.sum()), side="right")
        drawn = np.unique(np.repeat(every_row, lacking) * columns + drawn)
        place = np.searchsorted(found, drawn)
        new = np.ones(len(drawn), bool)
        inside = place < len(found)
        new[inside] = found[place[inside]] != drawn[inside]
        found = np.insert(found, place[new], drawn[new])
        lacking = lacking - np.bincount(drawn[new] // columns, minlength=len(counts))
    return found // columns, found % columns
