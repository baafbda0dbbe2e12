"""Named random streams: each part of a planted market draws from its own, in any order."""

import hashlib

import numpy as np


def random_stream(seed: int, *name: str | int) -> np.random.Generator:
    """Counter-based generator that depends on ``seed`` and ``name`` alone (Philox 4x64)."""
    key = hashlib.sha256("/".join(map(str, (seed, *name))).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))
