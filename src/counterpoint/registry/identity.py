"""Identities of scored entities: 64 bits of their external ids, the same in every data set.

They let a later test set be compared with what a model was trained on, without the data. Two of
m and n different entities fall together with probability m n / 2^64: 5e-6 for ten million each.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np

from counterpoint.data.splits import mixed_bits


def entity_hashes(
    node_types: Sequence[str], entity: np.ndarray, ids: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Identities [n] (int64) of nodes or pairs.

    Args:
        node_types: one, or source and destination.
        entity: places within the node types, [n] or [n, 2].
        ids: external ids by node type; 7 and "7" are the same.
    """
    columns = entity.T if entity.ndim == 2 else entity[None]
    found = np.zeros(len(entity), dtype=np.uint64)
    for node_type, column in zip(node_types, columns, strict=True):
        places, back = np.unique(column, return_inverse=True)
        digests = [sha256(str(one).encode()).digest()[:8] for one in ids[node_type][places]]
        of_nodes = np.frombuffer(b"".join(digests), dtype="<u8")
        found = mixed_bits(found + of_nodes[back])  # makes (a, b) another than (b, a)
    return found.view(np.int64)
