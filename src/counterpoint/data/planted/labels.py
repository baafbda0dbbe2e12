"""From a market to labels: logits, calibrated biases, Bernoulli draws."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit

from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.exposure import Exposure
from counterpoint.data.planted.importance import RELATIONS, relation_importance
from counterpoint.data.planted.market import Market

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]

CALIBRATION_ROWS = 1 << 22


@dataclass(frozen=True)
class PairLogits:
    """Logits without bias: ``(W_t(u) . D(i) + D(u) . W_t(i)) / temperature``.

    ``W_t`` is the sum over relations rho of ``w_{t,rho}`` times the mean hidden signal of the
    neighbours under rho, ``[nodes, latent_width]``; ``D`` is what the other end makes of it,
    ``(sqrt(1 - affinity) + sqrt(affinity) hidden) / sqrt(latent_width)``. A task's logit has
    standard deviation 1 / temperature over random pairs.
    """

    weighed: dict[str, dict[str, Reals]]
    response: dict[str, Reals]

    def of(self, task: str, users: Ints, items: Ints) -> Reals:
        """Logits ``[n]`` of n pairs."""
        signals, response = self.weighed[task], self.response
        by_user: Reals = np.einsum("nk,nk->n", signals["user"][users], response["item"][items])
        by_item: Reals = np.einsum("nk,nk->n", signals["item"][items], response["user"][users])
        by_user += by_item
        return by_user


def pair_logits(config: PlantedConfig, market: Market) -> PairLogits:
    """Weigh the neighbour signals by each task's relation importance."""
    importance = relation_importance(config.relatedness, config.kinship)
    weighed = {
        task: {
            end: np.zeros((config.sizes[end], config.latent_width), np.float32)
            for end in ("user", "item")
        }
        for task in importance
    }
    for column, (relation, (end, _)) in enumerate(RELATIONS.items()):
        signal = market.neighbour_signal(relation) / np.float32(config.temperature)
        for task, weights in importance.items():
            weighed[task][end] += np.float32(weights[column]) * signal
    alone, together = np.sqrt([1 - config.affinity, config.affinity]) / config.latent_width**0.5
    response = {
        end: (alone + together * market.hidden[end]).astype(np.float32) for end in ("user", "item")
    }
    return PairLogits(weighed, response)


def probabilities(logits: Mapping[str, Reals], biases: Mapping[str, float]) -> dict[str, Reals]:
    """Bayes probabilities: the tasks' sigmoids; a conversion is never likelier than its click."""
    bayes = {task: expit(logits[task] + np.float32(bias)) for task, bias in biases.items()}
    if "conversion" in bayes:
        bayes["conversion"] = np.minimum(bayes["conversion"], bayes["click"])
    return bayes


def drawn_labels(
    bayes: Mapping[str, Reals], generator: np.random.Generator
) -> dict[str, npt.NDArray[np.int8]]:
    """Bernoulli draws; click and conversion share one uniform, so that conversions are clicks."""
    funnel, complaint = generator.random((2, len(bayes["click"])), np.float32)
    uniform = {"click": funnel, "conversion": funnel, "complaint": complaint}
    return {task: (uniform[task] < bayes[task]).astype(np.int8) for task in bayes}


def calibrated_biases(
    config: PlantedConfig, exposure: Exposure, logits: PairLogits
) -> dict[str, float]:
    """Biases at which the mean Bayes probability of each task is its rate.

    Solved on all impressions, or where there are very many on an even share of every user's.
    """
    stride = -(-config.interactions // CALIBRATION_ROWS)
    blocks = []
    for block in range(len(exposure.blocks)):
        users, items = (nodes[::stride] for nodes in exposure.pairs(block))
        blocks.append({task: logits.of(task, users, items) for task in logits.weighed})
    sample = {task: np.concatenate([block[task] for block in blocks]) for task in logits.weighed}
    rates = {
        "click": config.click_rate,
        "conversion": config.conversion_rate,
        "complaint": config.complaint_rate,
    }
    biases: dict[str, float] = {}
    for task, rate in rates.items():

        def excess(bias: float, task: str = task, rate: float = rate) -> float:
            bayes = probabilities(sample, {**biases, task: bias})
            return float(bayes[task].mean(dtype=np.float64)) - rate

        biases[task] = float(brentq(excess, -40, 40, xtol=1e-6))
    return biases
