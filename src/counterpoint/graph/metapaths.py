"""Auxiliary tasks with generated labels: does a path of given types join two nodes?

Meta-path prediction (Hwang et al. 2020, SELAR; METHODS B.7). A pair ``(a, b)`` is positive if at
least one instance of the path joins them, itself excepted. Instances run over the edges that
training may see and no others, so a label can tell of a held-out row only what the graph tells.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveInt
from scipy import sparse

from counterpoint.data.schema import Strict
from counterpoint.data.splits import mixed_bits
from counterpoint.errors import UserError
from counterpoint.graph.negatives import is_member
from counterpoint.graph.store import GraphMeta, TaskRows

Ints = NDArray[np.int64]
Arrays = Mapping[str, np.ndarray]

# the short names of the paper for relations of the public knowledge graphs
PUBLISHED_NAMES = {
    "actor": "film.actor.film",
    "appearing.in.film": "film.person_or_entity_appearing_in_film.film",
    "instruments": "music.musician.instruments_played",
    "artist.origin": "music.artist.origin",
    "literary.series": "book.literary_series.works_in_this_series",
    "genre": "book.book.genre",
}
MOST_PRODUCTS = 1 << 25  # instances of paths that a block of start nodes may have


class MetaPath(Strict):
    """``path`` such as ``user-item-actor-item``: node types, and relations passed there and back.

    ``positives`` are drawn from all there are; None takes half as many as the largest target task
    has training rows. ``negatives`` are random pairs a positive.
    """

    path: str
    positives: PositiveInt | None = None
    negatives: NonNegativeFloat = 1.0


@dataclass(frozen=True)
class Ends:
    """Node types of a path's two ends, and the adjacency ``[n, n']`` of each of its steps."""

    types: tuple[str, str]
    steps: tuple[sparse.csr_array, ...]


def generated_rows(
    name: str, path: MetaPath, meta: GraphMeta, flat: Arrays, most: int, seed: int
) -> tuple[tuple[str, str], TaskRows]:
    """The end types of a path, and labelled pairs of them.

    Args:
        name: of the task, for messages.
        path: what to look for.
        meta, flat: the graph and its flat edges.
        most: positives where the path does not say.
        seed: of the draws.

    Raises:
        UserError: a name in the path is unknown or does not fit, or nothing is joined by it.
    """
    ends = resolved(name, path.path, meta, flat)
    wanted = path.positives or most
    positives = _drawn_positives(ends, wanted, seed)
    if not len(positives):
        raise UserError(f"build.metapaths.{name}: no two nodes are joined by {path.path}")
    negatives = _drawn_negatives(ends, round(path.negatives * len(positives)), seed)
    keys = np.concatenate([positives, negatives])
    n = ends.steps[-1].shape[1]
    label = np.repeat(np.array([1.0, 0.0], np.float32), [len(positives), len(negatives)])
    return ends.types, TaskRows(np.stack([keys // n, keys % n], axis=1), label)


def resolved(name: str, path: str, meta: GraphMeta, flat: Arrays) -> Ends:
    """The steps of a path as matrices of ones."""
    where = f"build.metapaths.{name}: {path}"
    tokens = _tokens(where, path, meta)
    types = {node_type.name for node_type in meta.node_types}
    if len(tokens) < 2 or tokens[0] not in types or tokens[-1] not in types:
        raise UserError(f"{where}: must begin and end with a node type, such as user-item-user")
    steps, at, through = [], tokens[0], ""
    for token in tokens[1:]:
        if token in types:
            step, to = _between(meta, flat, at, token, _relations(through, meta)), token
        else:
            step, to = _along(where, meta, flat, at, token)
        if not step.nnz:
            raise UserError(f"{where}: no edge leads from {at} to {token}")
        steps.append(step)
        at, through = to, "" if token in types else token
    return Ends((tokens[0], tokens[-1]), tuple(steps))


def _tokens(where: str, path: str, meta: GraphMeta) -> list[str]:
    """The path at its hyphens, except those within names."""
    names = {node_type.name for node_type in meta.node_types}
    forward = {relation.name for relation in meta.relations if not relation.reverse}
    known = sorted(names | forward | set(PUBLISHED_NAMES), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, known)))
    tokens, place = [], 0
    while place < len(path):
        found = pattern.match(path, place)
        if found is None or path[found.end() : found.end() + 1] not in ("", "-"):
            rest = path[place:].split("-")[0]
            raise UserError(
                f"{where}: {rest!r} is no node type or relation; "
                f"there are {', '.join(sorted(names | forward))}"
            )
        token = found.group()
        if token not in names and not _relations(token, meta):
            raise UserError(
                f"{where}: {token} stands for {PUBLISHED_NAMES[token]}, which the graph lacks"
            )
        tokens.append(token)
        place = found.end() + 1
    return tokens


def _relations(token: str, meta: GraphMeta) -> set[str]:
    """Relations that a token names: itself, or all of a short name's stem, by their ends' types."""
    forward = {relation.name for relation in meta.relations if not relation.reverse}
    if token in forward or token not in PUBLISHED_NAMES:
        return {token} & forward
    stem = PUBLISHED_NAMES[token]
    return {name for name in forward if name == stem or name.startswith(f"{stem}.")}


def _between(
    meta: GraphMeta, flat: Arrays, src: str, dst: str, through: set[str]
) -> sparse.csr_array:
    """All edges from one type to another, or those of some relations."""
    chosen = [
        place
        for place, relation in enumerate(meta.relations)
        if (relation.src, relation.dst) == (src, dst)
        and (not through or relation.name.removeprefix("rev-") in through)
    ]
    return _matrix(meta, flat, src, dst, chosen)


def _along(
    where: str, meta: GraphMeta, flat: Arrays, src: str, name: str
) -> tuple[sparse.csr_array, str]:
    """The edges that ``name`` has from ``src``, in either direction, and where they lead."""
    names = _relations(name, meta)
    fitting = {
        place: relation.dst
        for place, relation in enumerate(meta.relations)
        if relation.src == src and relation.name.removeprefix("rev-") in names
    }
    if not fitting:
        raise UserError(f"{where}: {' and '.join(sorted(names))} has no end at {src}")
    ends = sorted(set(fitting.values()))
    if len(ends) > 1:
        raise UserError(
            f"{where}: {name} leads from {src} to {' and '.join(ends)}; "
            f"write one of {', '.join(sorted(names))}"
        )
    return _matrix(meta, flat, src, ends[0], list(fitting)), ends[0]


def _matrix(
    meta: GraphMeta, flat: Arrays, src: str, dst: str, relations: list[int]
) -> sparse.csr_array:
    """``[n_src, n_dst]`` of ones at the edges of some relations."""
    low, high = meta.offsets[dst], meta.offsets[dst] + meta.count(dst)
    begin, end = flat["indptr"][low], flat["indptr"][high]
    chosen = np.isin(flat["etype"][begin:end], relations)
    degrees = np.diff(flat["indptr"][low : high + 1])
    heads = np.repeat(np.arange(high - low), degrees)[chosen]
    tails = flat["indices"][begin:end][chosen] - meta.offsets[src]
    ones = np.ones(len(heads), dtype=np.float32)
    found = sparse.csr_array((ones, (tails, heads)), shape=(meta.count(src), high - low))
    found.data[:] = 1.0
    return found


def _joined(ends: Ends, sources: Ints) -> sparse.csr_array:
    """``[len(sources), n_dst]``, non-zero where the path joins; the node itself left out."""
    found = ends.steps[0][sources]
    for step in ends.steps[1:]:
        found = found @ step
        found.data[:] = 1.0  # whether, not how often
    if ends.types[0] == ends.types[1]:
        rows = np.repeat(np.arange(len(sources)), np.diff(found.indptr))
        found.data[found.indices == sources[rows]] = 0.0
        found.eliminate_zeros()
    return found


def _blocks(ends: Ends, sources: Ints) -> Iterator[Ints]:
    """``sources`` in runs that have a bounded number of instances of the path."""
    instances = np.ones(ends.steps[-1].shape[1])
    for step in reversed(ends.steps):
        instances = step @ instances
    total = np.cumsum(np.minimum(instances[sources], MOST_PRODUCTS))
    starts = np.flatnonzero(np.diff(total // MOST_PRODUCTS, prepend=0) > 0)
    yield from (block for block in np.split(sources, starts) if len(block))


def _drawn_positives(ends: Ends, wanted: int, seed: int) -> Ints:
    """Keys ``src * n_dst + dst`` of a uniform draw of the joined pairs, in order.

    Every pair has a random number of its own and the smallest win, so the draw is the same
    whatever the blocks, and no more than a block and the winners are held.
    """
    n = ends.steps[-1].shape[1]
    salt = mixed_bits(np.array([seed], dtype=np.uint64))
    keys, draws = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    for sources in _blocks(ends, np.arange(ends.steps[0].shape[0])):
        found = _joined(ends, sources).tocoo()
        new = sources[found.row] * n + found.col
        keys = np.concatenate([keys, new])
        draws = np.concatenate([draws, mixed_bits(new.astype(np.uint64) ^ salt)])
        if len(keys) > wanted:
            winners = np.argpartition(draws, wanted)[:wanted]
            keys, draws = keys[winners], draws[winners]
    return np.sort(keys)


def _drawn_negatives(ends: Ends, wanted: int, seed: int) -> Ints:
    """Keys of random pairs of the end types that the path does not join; fewer if it joins most."""
    n_src, n = ends.steps[0].shape[0], ends.steps[-1].shape[1]
    rng = np.random.default_rng([seed, 1])
    kept = np.zeros(0, np.int64)
    for _ in range(8):
        if len(kept) >= wanted:
            break
        drawn = np.unique(rng.integers(0, n_src * n, 2 * (wanted - len(kept)) + 16))
        if ends.types[0] == ends.types[1]:
            drawn = drawn[drawn // n != drawn % n]
        joined = [
            sources[found.row] * n + found.col
            for sources in _blocks(ends, np.unique(drawn // n))
            for found in [_joined(ends, sources).tocoo()]
        ]
        clear = drawn[~is_member(drawn, np.sort(np.concatenate(joined)))]
        kept = np.unique(np.concatenate([kept, clear]))
    return np.sort(rng.permutation(kept)[:wanted])
