"""Masked-feature regression: dense columns from a graph of which half has no features."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from counterpoint.auxiliary.contract import (
    Auxiliary,
    AuxiliaryBatch,
    AuxiliarySettings,
    Encode,
    Views,
    at_least_float32,
    drawn_nodes,
    nodes_by_type,
    nodes_of_types,
)
from counterpoint.auxiliary.cosine import cosine
from counterpoint.errors import UserError
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import TrainingGraph
from counterpoint.nn.named import NamedModules


class FeatureReconstructionSettings(AuxiliarySettings):
    """``share`` of the nodes with dense columns are hidden, ``seeds`` of them asked for.

    ``error`` squared: numbers whose size matters. scaled_cosine: long vectors of which the
    direction does (GraphMAE).
    """

    kind: Literal["feature_reconstruction"]
    share: float = Field(default=0.5, gt=0, le=1)
    error: Literal["squared", "scaled_cosine"] = "squared"


class FeatureReconstruction(Auxiliary):
    """Error of a linear guess at the standardised columns of hidden nodes.

    Many neighbours are hidden too (GraphMAE, Hou et al. 2022), so that an average of what is next
    to a node will not do; attribute generation hides the seeds alone.
    """

    hides = "the input features of the nodes asked for, and of as many more as `share` says"

    def __init__(
        self, meta: GraphMeta, width: int, settings: FeatureReconstructionSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        columns = {t.name: t.dense for t in meta.node_types if t.dense}
        if not columns:
            raise UserError(
                "auxiliaries: feature_reconstruction: no node type has a numeric or vector"
                " feature; attribute_generation takes categorical ones and bags"
            )
        self.heads = NamedModules({name: nn.Linear(width, n) for name, n in columns.items()})

    def batch(
        self, graph: TrainingGraph, views: Views, generator: torch.Generator
    ) -> AuxiliaryBatch:
        """A view without the hidden nodes' features, and those of the seeds among them."""
        names = self.heads.names
        total = len(nodes_of_types(graph, names))
        hidden = drawn_nodes(graph, names, max(round(self.settings.share * total), 1), generator)
        order = torch.randperm(len(hidden), generator=generator)
        seeds = hidden[order[: self.settings.seeds]].sort().values
        view = views(seeds, hidden=hidden)
        tensors: dict[str, Tensor] = {}
        for name, nodes in nodes_by_type(graph.meta, seeds, names).items():
            dense = graph.inputs[name].dense
            assert dense is not None
            rows = (nodes - graph.meta.offsets[name]).to(graph.device)
            tensors |= {f"{name}/seeds": view.local(nodes), f"{name}/dense": dense[rows]}
        return AuxiliaryBatch({"view": view}, tensors)

    def losses(self, encode: Encode, batch: AuxiliaryBatch) -> Tensor:
        """Error of each seed ``[seeds]``, type after type."""
        h = encode(batch.views["view"])
        found = []
        for name in self.heads.names:
            x = batch.tensors[f"{name}/dense"]
            guess = at_least_float32(self.heads[name](h[batch.tensors[f"{name}/seeds"]]))
            if self.settings.error == "squared":
                found.append((guess - x).square().mean(-1))
            else:
                found.append((1 - cosine(guess, x)).square())  # eq. 2 of the paper, gamma = 2
        return torch.cat(found)
