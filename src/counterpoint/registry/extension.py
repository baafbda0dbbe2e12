"""A bundle with nodes that it lacked; what it had is as it was, to the bit."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from counterpoint.errors import UserError, raise_faults
from counterpoint.registry.bundle import Bundle, DotHead, LinearHead

_END = {"src": 0, "src_bias": 0, "dst": 1, "dst_bias": 1, "logits": 0}  # whose nodes its rows are


def extended(
    bundle: Bundle, heads: Mapping[str, DotHead | LinearHead], ids: Mapping[str, np.ndarray]
) -> Bundle:
    """The bundle with the nodes among ``ids`` that it lacks.

    Args:
        bundle: its tasks without a head here keep their nodes and cannot be asked of new ones.
        heads: the heads of some of its tasks on the nodes of ``ids``.
        ids: for each node type that these heads score, external ids [n] by row.

    Raises:
        UserError: ids are of another kind than the bundle's, or the heads of new nodes are not
            finite.
    """
    raise_faults(
        [
            f"node type {name!r}: its ids are {_kind(found)} and were {_kind(known)} when the "
            "model was trained; cast them"
            for name, found in ids.items()
            if _kind(found) != _kind(known := bundle.ids[name].ids)
        ]
    )
    new = {name: np.flatnonzero(bundle.ids[name].rows(found) < 0) for name, found in ids.items()}
    tensors = dict(bundle.tensors)
    for task, head in heads.items():
        for name, array in head.tensors().items():
            if name not in _END:
                continue
            rows = array[new[head.entity[_END[name]]]]
            if not np.isfinite(rows).all():
                raise UserError(
                    f"task {task!r}: of new nodes {name} holds values that are not finite; look "
                    f"at the features of {head.entity[_END[name]]}"
                )
            tensors[f"{task}.{name}"] = np.concatenate([bundle.tensors[f"{task}.{name}"], rows])
    further = {name: bundle.ids[name].with_further(ids[name][rows]) for name, rows in new.items()}
    return replace(bundle, tensors=tensors, ids={**bundle.ids, **further})


def _kind(ids: np.ndarray) -> str:
    return "strings" if ids.dtype.kind in "OU" else "integers"
