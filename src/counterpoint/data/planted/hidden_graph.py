"""Hidden numbers in nodes, the relations that carry them, the features that show them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from counterpoint.data.planted.config import PlantedGraphConfig
from counterpoint.data.planted.draws import Floats, Ints, distinct_draws, zipf_popularity
from counterpoint.data.planted.streams import random_stream

Reals = npt.NDArray[np.float32]

REVERSE = "rev-"  # as the graph store names a relation whose edges are turned round


class PlantedRelation(NamedTuple):
    """``src`` nodes choose ``dst`` nodes, whatever these hide.

    Each chooses from none to twice ``mean_degree``, or exactly one (None); by popularity or each
    alike. Within a node type the relation goes both ways and has no loops.
    """

    src: str
    dst: str
    mean_degree: int | None = None
    by_popularity: bool = True


@dataclass(frozen=True)
class HiddenGraph:
    """Hidden numbers ``[nodes, latent_width]`` a node type, and edges (src, dst) a relation."""

    hidden: dict[str, Reals]
    edges: dict[str, tuple[Ints, Ints]]
    relations: Mapping[str, PlantedRelation]

    def signal(self, *path: str) -> Reals:
        """What arrives by a path of relations ``[receivers, latent_width]``, standardised.

        Each step takes the mean over the neighbours, who had it from theirs; the first of them
        send what they hide. A node without a neighbour has 0 before standardising. Steps are named
        as in the graph store: by ``rev-x`` the sources of relation x hear from its destinations.
        """
        first = self.relations[path[0].removeprefix(REVERSE)]
        values: Reals | Floats = self.hidden[
            first.dst if path[0].startswith(REVERSE) else first.src
        ]
        for step in path:
            values = self._mean_over_neighbours(step, values)
        standard: Reals = ((values - values.mean(0)) / values.std(0)).astype(np.float32)
        return standard

    def _mean_over_neighbours(self, step: str, values: Reals | Floats) -> Floats:
        name = step.removeprefix(REVERSE)
        if step.startswith(REVERSE):
            size, (heads, tails) = len(self.hidden[self.relations[name].src]), self.edges[name]
        else:
            size, (tails, heads) = len(self.hidden[self.relations[name].dst]), self.edges[name]
        degree = np.maximum(np.bincount(heads, minlength=size), 1)
        sums = [np.bincount(heads, column[tails], size) for column in values.T]
        mean: Floats = np.stack(sums, axis=1) / degree[:, None]
        return mean


def hidden_graph(
    config: PlantedGraphConfig, relations: Mapping[str, PlantedRelation]
) -> HiddenGraph:
    """Draw hidden numbers and relations."""
    hidden = {
        node_type: random_stream(config.seed, "hidden", node_type).standard_normal(
            (size, config.latent_width), np.float32
        )
        for node_type, size in config.sizes.items()
    }
    edges = {name: _edges(config, name, relation) for name, relation in relations.items()}
    return HiddenGraph(hidden, edges, relations)


def _edges(config: PlantedGraphConfig, name: str, relation: PlantedRelation) -> tuple[Ints, Ints]:
    sources, destinations = config.sizes[relation.src], config.sizes[relation.dst]
    generator = random_stream(config.seed, "edges", name)
    popularity = zipf_popularity(
        destinations,
        config.skew if relation.by_popularity else 0.0,
        random_stream(config.seed, "popularity of tails", relation.dst),
    )
    if relation.mean_degree is None:
        degree = np.ones(sources, np.int64)
    else:
        degree = generator.integers(0, 2 * relation.mean_degree, sources, np.int64, endpoint=True)
    src, dst = distinct_draws(degree, popularity, generator)
    return _both_ways(src, dst, sources) if relation.src == relation.dst else (src, dst)


def _both_ways(src: Ints, dst: Ints, nodes: int) -> tuple[Ints, Ints]:
    """The symmetric relation without loops: an edge and its reverse, each once."""
    keep = src != dst
    src, dst = src[keep], dst[keep]
    edges = np.unique(np.concatenate([src * nodes + dst, dst * nodes + src]))
    return edges // nodes, edges % nodes


def node_features(config: PlantedGraphConfig, graph: HiddenGraph, node_type: str) -> Reals:
    """Features ``[nodes, signal_columns + noise_columns]``: noisy views of the own hidden numbers.

    A node's own features say nothing of what its neighbours hide.
    """
    generator = random_stream(config.seed, "features", node_type)
    hidden, signals = graph.hidden[node_type], config.signal_columns
    views = generator.standard_normal((config.latent_width, signals), np.float32)
    views /= np.linalg.norm(views, axis=0)
    features = generator.standard_normal((len(hidden), signals + config.noise_columns), np.float32)
    features[:, :signals] *= np.float32(config.feature_noise)
    features[:, :signals] += np.einsum("nk,kf->nf", hidden, views)
    return features
