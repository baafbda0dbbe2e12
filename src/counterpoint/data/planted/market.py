"""The market itself: hidden signals, the relations that carry them, features that show them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.exposure import distinct_draws, zipf_popularity
from counterpoint.data.planted.importance import RELATIONS
from counterpoint.data.planted.streams import random_stream

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]

# mean number of tails of a head; relations that are not here have exactly one
MEAN_DEGREE = {"follows": 3, "likes": 3, "knows": 3, "bundled_with": 3}


@dataclass(frozen=True)
class Market:
    """Hidden signals ``[nodes, latent_width]`` a node type, and edges (head, tail) a relation."""

    hidden: dict[str, Reals]
    edges: dict[str, tuple[Ints, Ints]]

    def neighbour_signal(self, relation: str) -> Reals:
        """Mean hidden signal of each head's tails ``[heads, latent_width]``, standardised."""
        head_type, tail_type = RELATIONS[relation]
        heads, tails = self.edges[relation]
        hidden, size = self.hidden[tail_type], len(self.hidden[head_type])
        degree = np.maximum(np.bincount(heads, minlength=size), 1)
        sums = [np.bincount(heads, column[tails], size) for column in hidden.T]
        mean = np.stack(sums, axis=1) / degree[:, None]
        standard: Reals = ((mean - mean.mean(0)) / mean.std(0)).astype(np.float32)
        return standard


def planted_market(config: PlantedConfig) -> Market:
    """Draw hidden signals and relations; heads choose tails by popularity, whatever they hide."""
    hidden = {
        node_type: random_stream(config.seed, "hidden", node_type).standard_normal(
            (size, config.latent_width), np.float32
        )
        for node_type, size in config.sizes.items()
    }
    return Market(hidden, {relation: _edges(config, relation) for relation in RELATIONS})


def _edges(config: PlantedConfig, relation: str) -> tuple[Ints, Ints]:
    head_type, tail_type = RELATIONS[relation]
    heads, tails = config.sizes[head_type], config.sizes[tail_type]
    generator = random_stream(config.seed, "edges", relation)
    skew = 0.0 if tail_type == "user" else config.skew
    popularity = zipf_popularity(
        tails, skew, random_stream(config.seed, "popularity of tails", tail_type)
    )
    if relation in MEAN_DEGREE:
        degree = generator.integers(0, 2 * MEAN_DEGREE[relation], heads, np.int64, endpoint=True)
    else:
        degree = np.ones(heads, np.int64)
    head, tail = distinct_draws(degree, popularity, generator)
    return _both_ways(head, tail, heads) if head_type == tail_type else (head, tail)


def _both_ways(head: Ints, tail: Ints, nodes: int) -> tuple[Ints, Ints]:
    """The symmetric relation without loops: an edge and its reverse, each once."""
    keep = head != tail
    head, tail = head[keep], tail[keep]
    edges = np.unique(np.concatenate([head * nodes + tail, tail * nodes + head]))
    return edges // nodes, edges % nodes


def node_features(config: PlantedConfig, market: Market, node_type: str) -> Reals:
    """Features ``[nodes, signal_columns + noise_columns]``: noisy views of the own hidden signal.

    A node's own features say nothing of its neighbours' hidden signals.
    """
    generator = random_stream(config.seed, "features", node_type)
    hidden, signals = market.hidden[node_type], config.signal_columns
    views = generator.standard_normal((config.latent_width, signals), np.float32)
    views /= np.linalg.norm(views, axis=0)
    features = generator.standard_normal((len(hidden), signals + config.noise_columns), np.float32)
    features[:, :signals] *= np.float32(config.feature_noise)
    features[:, :signals] += np.einsum("nk,kf->nf", hidden, views)
    return features
