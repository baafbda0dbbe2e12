"""Drawing with replacement, a byte a draw."""

import numpy as np
from numpy.typing import NDArray

BUCKET = 256  # a byte chooses within it


class Drawing:
    """Draws ``n`` of ``n`` numbers with replacement, in another order than one by one.

    How many fall into each bucket of 256 numbers is multinomial, and within a bucket all are alike:
    the same distribution as of ``n`` draws, at a quarter of the random bits, and what counts them
    afterwards walks through memory in order.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.starts = np.arange(0, n, BUCKET)
        self.last = n - int(self.starts[-1])  # the size of the last bucket
        sizes = np.full(len(self.starts), BUCKET)
        sizes[-1] = self.last
        self.shares = sizes / n

    def into(self, out: NDArray[np.int64], rng: np.random.Generator) -> None:
        """Fill ``out [n]`` with drawn numbers."""
        in_bucket = rng.multinomial(self.n, self.shares)
        words = rng.integers(2**64 - 1, size=-(-self.n // 8), dtype=np.uint64, endpoint=True)
        within = words.astype("<u8", copy=False).view(np.uint8)[: self.n]
        np.add(np.repeat(self.starts, in_bucket), within, out=out)
        redrawn = self.n - int(in_bucket[-1])  # a byte is too much for less than a bucket
        out[redrawn:] = self.starts[-1] + rng.integers(self.last, size=self.n - redrawn)
