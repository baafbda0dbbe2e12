"""Deep Graph Infomax (Velickovic et al. 2019): a node of the graph, or of a shuffled one?"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.auxiliary.contract import (
    Auxiliary,
    AuxiliaryBatch,
    AuxiliarySettings,
    Encode,
    Views,
    at_least_float32,
    drawn_nodes,
)
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import TrainingGraph, View


class DeepGraphInfomaxSettings(AuxiliarySettings):
    """``seeds`` nodes of any type a step, each asked about twice."""

    kind: Literal["deep_graph_infomax"]


class DeepGraphInfomax(Auxiliary):
    """Binary cross-entropy of ``h' W s``: 1 if h is of the view, 0 if its inputs were shuffled.

    The summary ``s = sigmoid(mean h)`` is over the outputs of the true view: the whole graph, or
    the seeds of a sampled one.
    """

    hides = "nothing: the answer is which of two views was encoded, and no input of theirs tells"

    def __init__(self, meta: GraphMeta, width: int, settings: DeepGraphInfomaxSettings) -> None:
        super().__init__()
        self.settings = settings
        self.node_types = tuple(node_type.name for node_type in meta.node_types)
        self.discriminator = nn.Linear(width, width, bias=False)

    def batch(
        self, graph: TrainingGraph, views: Views, generator: torch.Generator
    ) -> AuxiliaryBatch:
        """Seeds, a view, and the same view with the inputs of each type shuffled."""
        seeds = drawn_nodes(graph, self.node_types, self.settings.seeds, generator)
        view = views(seeds)
        return AuxiliaryBatch(
            {"view": view, "shuffled": shuffled(view, generator)}, {"seeds": view.local(seeds)}
        )

    def losses(self, encode: Encode, batch: AuxiliaryBatch) -> Tensor:
        """Of the seeds in the view, then in the shuffled one ``[2 seeds]``."""
        h, other = encode(batch.views["view"]), encode(batch.views["shuffled"])
        seeds = batch.tensors["seeds"]
        direction = self.discriminator(torch.sigmoid(h.mean(0)))
        logits = at_least_float32(torch.cat([h[seeds] @ direction, other[seeds] @ direction]))
        label = torch.cat([torch.ones(len(seeds)), torch.zeros(len(seeds))]).to(logits)
        return F.binary_cross_entropy_with_logits(logits, label, reduction="none")


def shuffled(view: View, generator: torch.Generator) -> View:
    """The same edges, between nodes that have exchanged their inputs within their type.

    No feature is copied: ``order`` sends each node to another's row.
    """
    rows, start = [], 0
    for inputs in view.inputs.values():
        rows.append(start + torch.randperm(len(inputs.ids), generator=generator))
        start += len(inputs.ids)
    exchanged = torch.cat(rows).to(view.node_type.device)
    return replace(view, order=exchanged if view.order is None else exchanged[view.order])
