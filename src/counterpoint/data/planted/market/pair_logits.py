"""Logits of impressions, and the biases at which the rates are met."""

from dataclasses import dataclass

import numpy as np

from counterpoint.data.planted.draws import Ints
from counterpoint.data.planted.hidden_graph import REVERSE, HiddenGraph, Reals
from counterpoint.data.planted.importance import weighed_signals
from counterpoint.data.planted.labels import calibrated_biases
from counterpoint.data.planted.market.config import MarketConfig
from counterpoint.data.planted.market.exposure import Exposure
from counterpoint.data.planted.market.importance import RELATIONS, relation_importance

CALIBRATION_ROWS = 1 << 22


@dataclass(frozen=True)
class PairLogits:
    """Logits without bias: ``(W_t(u) . D(i) + D(u) . W_t(i)) / temperature``.

    ``W_t`` is the sum over relations rho of ``w_{t,rho}`` times the mean hidden signal of the
    neighbours under rho, ``[nodes, latent_width]``; ``D`` is what the other end makes of it,
    ``(sqrt(1 - affinity) + sqrt(affinity) hidden) / sqrt(latent_width)``. A task's logit has
    standard deviation 1 / temperature over random pairs.
    """

    weighed: dict[str, dict[str, Reals]]  # end, task
    response: dict[str, Reals]

    def of(self, task: str, users: Ints, items: Ints) -> Reals:
        """Logits ``[n]`` of n pairs."""
        user, item, response = self.weighed["user"], self.weighed["item"], self.response
        by_user: Reals = np.einsum("nk,nk->n", user[task][users], response["item"][items])
        by_item: Reals = np.einsum("nk,nk->n", item[task][items], response["user"][users])
        by_user += by_item
        return by_user


def pair_logits(config: MarketConfig, market: HiddenGraph) -> PairLogits:
    """Weigh the neighbour signals by each task's relation importance."""
    importance = relation_importance(config.relatedness, config.kinship)
    weighed = {}
    for end in ("user", "item"):
        paths = {name: (REVERSE + name,) for name, r in RELATIONS.items() if r.src == end}
        weighed[end] = weighed_signals(market, paths, importance, config.temperature)
    alone, together = np.sqrt([1 - config.affinity, config.affinity]) / config.latent_width**0.5
    response = {
        end: (alone + together * market.hidden[end]).astype(np.float32) for end in ("user", "item")
    }
    return PairLogits(weighed, response)


def market_biases(config: MarketConfig, exposure: Exposure, logits: PairLogits) -> dict[str, float]:
    """Biases at which the mean Bayes probability of each task is its rate.

    Solved on all impressions, or where there are very many on an even share of every user's.
    """
    stride = -(-config.interactions // CALIBRATION_ROWS)
    blocks = []
    for block in range(len(exposure.blocks)):
        users, items = (nodes[::stride] for nodes in exposure.pairs(block))
        blocks.append({task: logits.of(task, users, items) for task in config.rates})
    sample = {task: np.concatenate([block[task] for block in blocks]) for task in config.rates}
    return calibrated_biases(sample, config.rates, config.parents)
