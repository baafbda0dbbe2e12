"""Meta-path labels against dense products of the relations."""

from functools import reduce
from itertools import product

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.graph import metapaths
from counterpoint.graph.metapaths import MetaPath, generated_rows, resolved
from counterpoint.graph.store import GraphMeta, RelationMeta, TypeMeta

SIZES = {"user": 9, "item": 7, "entity": 5}
EDGES = {
    "listened": ("user", "item", True),
    "film.actor.film.item-entity": ("item", "entity", False),
    "music.artist.origin.item-entity": ("item", "entity", False),
}


def graph(seed: int = 0, density: float = 0.2, edges=EDGES):
    """A random graph as construction lays it out, and its relations as dense matrices."""
    rng = np.random.default_rng(seed)
    offsets = dict(zip(SIZES, np.cumsum([0, *SIZES.values()]), strict=False))
    relations, dense, columns = [], {}, []
    for name, (src, dst, derived) in edges.items():
        dense[name] = rng.random((SIZES[src], SIZES[dst])) < density
        for reverse in (False, True):
            matrix = dense[name].T if reverse else dense[name]
            ends = (dst, src) if reverse else (src, dst)
            tails, heads = np.nonzero(matrix)
            number = np.full(len(tails), len(relations))
            columns.append([heads + offsets[ends[1]], tails + offsets[ends[0]], number])
            relations.append(
                RelationMeta(
                    name=f"rev-{name}" if reverse else name,
                    src=ends[0],
                    dst=ends[1],
                    edges=len(tails),
                    derived=derived,
                    reverse=reverse,
                )
            )
    heads, tails, number = np.concatenate(columns, axis=1)
    order = np.lexsort((number, tails, heads))
    degrees = np.bincount(heads, minlength=sum(SIZES.values()))
    flat = {
        "indptr": np.concatenate([[0], np.cumsum(degrees)]),
        "indices": tails[order],
        "etype": number[order],
    }
    types = tuple(TypeMeta(name=name, count=count) for name, count in SIZES.items())
    meta = GraphMeta(
        name="g",
        node_types=types,
        relations=tuple(relations),
        tasks={},
        cross_task="allow",
        candidates="uniform",
    )
    return meta, flat, dense


L, A, BORN = EDGES
PATHS = {
    "user-item-user-item": lambda d: (d[L], d[L].T, d[L]),
    "user-item-actor-item": lambda d: (d[L], d[A], d[A].T),
    f"user-item-{A}-item": lambda d: (d[L], d[A], d[A].T),
    "user-item-artist.origin-item": lambda d: (d[L], d[BORN], d[BORN].T),
    "item-entity-item": lambda d: (d[A] | d[BORN], (d[A] | d[BORN]).T),
    "item-user-item": lambda d: (d[L].T, d[L]),
    "user-item-entity": lambda d: (d[L], d[A] | d[BORN]),
}


def expected(path: str, dense) -> set[tuple[int, int]]:
    steps = [step.astype(int) for step in PATHS[path](dense)]
    joined = reduce(np.matmul, steps) > 0
    ends = path.split("-")[0], path.rsplit("-", 1)[1]
    if ends[0] == ends[1]:
        np.fill_diagonal(joined, False)
    return set(zip(*map(np.ndarray.tolist, np.nonzero(joined)), strict=True))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("most_products", [1, 50, 1 << 25])
def test_positives_are_what_the_path_joins(path, most_products, monkeypatch):
    """Whatever the blocks; with none capped, and negatives are pairs that it does not join."""
    monkeypatch.setattr(metapaths, "MOST_PRODUCTS", most_products)
    for seed in range(3):
        meta, flat, dense = graph(seed)
        truth = expected(path, dense)
        types, rows = generated_rows("p", MetaPath(path=path), meta, flat, 10**6, seed)
        assert types == (path.split("-")[0], path.rsplit("-", 1)[1])
        pairs = [tuple(pair) for pair in rows.entity.tolist()]
        assert len(set(pairs)) == len(pairs)
        assert {pair for pair, y in zip(pairs, rows.label, strict=True) if y} == truth
        negatives = {pair for pair, y in zip(pairs, rows.label, strict=True) if not y}
        every = set(product(range(SIZES[types[0]]), range(SIZES[types[1]])))
        if types[0] == types[1]:
            every = {(a, b) for a, b in every if a != b}
        assert negatives <= every - truth
        assert len(negatives) == min(len(truth), len(every - truth)) or len(negatives) > 5


def test_a_short_name_is_every_relation_of_its_stem_that_fits():
    """As in Book-Crossing's graph, where one predicate joins several pairs of node types."""
    back, inner = "film.actor.film.entity-item", "film.actor.film.entity-entity"
    edges = {**EDGES, back: ("entity", "item", False), inner: ("entity", "entity", False)}
    meta, flat, dense = graph(edges={name: edges[name] for name in (L, A, back)})
    either = dense[A] | dense[back].T
    steps = resolved("p", "user-item-actor-item", meta, flat).steps
    for step, truth in zip(steps, (dense[L], either, either.T), strict=True):
        assert np.array_equal(step.toarray() > 0, truth)

    meta, flat, dense = graph(edges={name: edges[name] for name in (L, inner)})
    (step,) = resolved("p", f"entity-{inner}-entity", meta, flat).steps[:1]
    assert np.array_equal(step.toarray() > 0, dense[inner] | dense[inner].T)

    meta, flat, _ = graph(edges=edges)
    with pytest.raises(UserError, match=r"actor leads from entity to entity and item; write one"):
        resolved("p", "entity-actor-item", meta, flat)


def test_a_draw_is_the_same_for_all_blocks_and_uniform(monkeypatch):
    meta, flat, dense = graph()
    truth = expected("user-item-user-item", dense)
    path = MetaPath(path="user-item-user-item", positives=10, negatives=0.5)
    counts: dict[tuple[int, int], int] = {}
    for seed in range(300):
        drawn = []
        for most in (1, 1 << 25):
            monkeypatch.setattr(metapaths, "MOST_PRODUCTS", most)
            _, rows = generated_rows("p", path, meta, flat, 3, seed)
            drawn.append(rows.entity.tolist())
            assert rows.label.tolist() == [1.0] * 10 + [0.0] * 5
        assert drawn[0] == drawn[1]
        for pair in drawn[0][:10]:
            counts[tuple(pair)] = counts.get(tuple(pair), 0) + 1
    assert set(counts) == truth
    share = 3000 / len(truth)
    assert all(abs(count - share) < 5 * share**0.5 for count in counts.values())


def test_only_the_flat_edges_are_looked_at():
    """Taking an edge away takes its pairs away: labels are made of the training graph alone."""
    meta, flat, dense = graph(density=0.1)
    steps = resolved("p", "user-item-user", meta, flat).steps
    assert np.array_equal(steps[0].toarray() > 0, dense[L])
    without = {**flat, "etype": np.where(np.isin(flat["etype"], [0, 1]), 99, flat["etype"])}
    with pytest.raises(UserError, match="no edge"):
        generated_rows("p", MetaPath(path="user-item-user"), meta, without, 10, 0)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("user-thing-item", "'thing' is no node type or relation; there are entity, film"),
        ("user", "must begin and end with a node type"),
        ("user-item-actor", "must begin and end with a node type"),
        ("user-actor-item", "film.actor.film.item-entity has no end at user"),
        ("user-entity", "no edge leads from user to entity"),
        ("item-entity-user", "no edge leads from entity to user"),
        ("user-item-instruments-item", "stands for music.musician.instruments_played"),
    ],
)
def test_faults_are_one_line(path, said):
    meta, flat, _ = graph()
    with pytest.raises(UserError, match=said) as fault:
        generated_rows("p", MetaPath(path=path), meta, flat, 10, 0)
    assert len(fault.value.faults) == 1
    assert fault.value.faults[0].startswith(f"build.metapaths.p: {path}: ")
