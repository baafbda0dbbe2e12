"""Who sees what: distinct pairs by popularity, a block of users at a time."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from counterpoint.data.planted.draws import Floats, Ints, distinct_draws, zipf_popularity
from counterpoint.data.planted.market.config import MarketConfig
from counterpoint.data.planted.streams import random_stream
from counterpoint.errors import UserError

BLOCK_ROWS = 1 << 18  # part of the definition: another value draws other pairs


@dataclass(frozen=True)
class Exposure:
    """The plan of all impressions: counts a user ``[users]``, popularity ``[items]``, blocks."""

    seed: int
    counts: Ints
    popularity: Floats
    blocks: tuple[tuple[int, int], ...]  # first user, one past the last

    def pairs(self, block: int) -> tuple[Ints, Ints]:
        """Users and items of one block's impressions; no pair occurs twice in any block."""
        first, end = self.blocks[block]
        generator = random_stream(self.seed, "pairs", block)
        rows, items = distinct_draws(self.counts[first:end], self.popularity, generator)
        return rows + first, items


def planned_exposure(config: MarketConfig) -> Exposure:
    """Share the interactions out to users, and cut the users into blocks of equal work.

    Raises:
        UserError: the busiest user would see more than half of the items.
    """
    seed = config.seed
    activity = zipf_popularity(config.users, config.skew / 2, random_stream(seed, "activity"))
    counts = _shared_out(config.interactions, activity)
    if counts.max() > config.items // 2:
        raise UserError(
            f"planted: the busiest user would see {counts.max()} of {config.items} items, at most "
            "half is possible: lower interactions or skew, or raise users or items"
        )
    ends = np.searchsorted(np.cumsum(counts), np.arange(BLOCK_ROWS, counts.sum(), BLOCK_ROWS))
    bounds = np.unique([0, *ends, config.users]).tolist()
    popularity = zipf_popularity(config.items, config.skew, random_stream(seed, "popularity"))
    return Exposure(seed, counts, popularity, tuple(pairwise(bounds)))


def _shared_out(total: int, shares: Floats) -> Ints:
    exact = total * shares
    counts = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(counts - exact, kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    return counts
