"""Degree reconstruction: how many edges of each relation a node has, in logarithms."""

from typing import Literal

import torch
from torch import Tensor, nn

from counterpoint.auxiliary.contract import (
    Auxiliary,
    AuxiliaryBatch,
    AuxiliarySettings,
    Encode,
    Views,
    drawn_nodes,
)
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import TrainingGraph


class DegreeSettings(AuxiliarySettings):
    """Of node types that have edges, ``seeds`` nodes a step."""

    kind: Literal["degree"]


class Degree(Auxiliary):
    """Squared error of ``log(1 + incoming edges)`` by relation, standardised over the graph.

    Half of the edges into a seed are taken out, so that the number is not there to be counted.
    """

    hides = "half of the edges into each seed, drawn anew each step; the degree is of all of them"

    def __init__(self, meta: GraphMeta, width: int, settings: DegreeSettings) -> None:
        super().__init__()
        self.settings = settings
        self.node_types = tuple(dict.fromkeys(relation.dst for relation in meta.relations))
        self.n_relations = len(meta.relations)
        self.head = nn.Linear(width, self.n_relations)

    def batch(
        self, graph: TrainingGraph, views: Views, generator: torch.Generator
    ) -> AuxiliaryBatch:
        """Seeds, a view without half of their edges, and their standardised degrees."""
        seeds = drawn_nodes(graph, self.node_types, self.settings.seeds, generator)
        dst, etype = graph.csr.dst.cpu(), graph.etype.cpu()
        is_seed = torch.zeros(graph.meta.n_nodes, dtype=torch.bool)
        is_seed[seeds] = True
        keep = ~is_seed[dst] | (torch.rand(len(dst), generator=generator) < 0.5)
        cells = torch.bincount(
            dst * self.n_relations + etype, minlength=graph.meta.n_nodes * self.n_relations
        )
        degree = cells.reshape(-1, self.n_relations).float().log1p()
        known = degree[~graph.left_out.cpu()]
        spread = known.std(0, correction=0).clamp(min=1e-6)
        wanted = (degree[seeds] - known.mean(0)) / spread
        view = views(seeds, keep=keep)
        return AuxiliaryBatch({"view": view}, {"seeds": view.local(seeds), "degree": wanted})

    def losses(self, encode: Encode, batch: AuxiliaryBatch) -> Tensor:
        """Mean over relations of the squared error ``[seeds]``."""
        h = encode(batch.views["view"])[batch.tensors["seeds"]]
        error: Tensor = self.head(h) - batch.tensors["degree"]
        return error.square().mean(-1)
