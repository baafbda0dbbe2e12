"""Attribute generation (GPT-GNN, Hu et al. 2020; METHODS B.6): what are a node's features?"""

from typing import Literal

import torch
from pydantic import PositiveFloat
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
    nodes_by_type,
)
from counterpoint.auxiliary.cosine import cosine
from counterpoint.errors import UserError
from counterpoint.graph.ops import Csr
from counterpoint.graph.store import GraphMeta, TypeMeta
from counterpoint.graph.views import TrainingGraph
from counterpoint.nn.named import NamedModules

UNKNOWN = 0  # the code of values that no training node has


class AttributeGenerationSettings(AuxiliarySettings):
    """``temperature`` divides the distance in direction of dense columns."""

    kind: Literal["attribute_generation"]
    temperature: PositiveFloat = 0.1


class AttributeGeneration(Auxiliary):
    """Every feature of a seed from what its neighbourhood says of it.

    GPT-GNN has two copies of each node in one graph: of the one whose feature is to be generated
    no edge goes out, so that the other, which keeps it, is not seen through. Here the objective
    has a view of its own in which the seeds' features are nowhere, which hides them as well with
    no second kind of node. Its LSTM decoder of texts needs the words in order; a data set here
    has bags of them, of which the multinomial cross-entropy is all that order leaves.
    """

    hides = "the input features of the seeds, as outputs and as anyone's neighbours"

    def __init__(self, meta: GraphMeta, width: int, settings: AttributeGenerationSettings) -> None:
        super().__init__()
        self.settings = settings
        types = [node_type for node_type in meta.node_types if node_type.has_features]
        if not types:
            raise UserError(
                "auxiliaries: attribute_generation: no node type has a feature to generate"
            )
        self.decoders = NamedModules(
            {t.name: FeatureDecoder(t, width, settings.temperature) for t in types}
        )

    def batch(
        self, graph: TrainingGraph, views: Views, generator: torch.Generator
    ) -> AuxiliaryBatch:
        """Seeds, a view without their features, and the features under the store's names."""
        seeds = drawn_nodes(graph, self.decoders.names, self.settings.seeds, generator)
        view = views(seeds, hidden=seeds)
        tensors: dict[str, Tensor] = {}
        for name, nodes in nodes_by_type(graph.meta, seeds, self.decoders.names).items():
            rows = (nodes - graph.meta.offsets[name]).to(graph.device)
            asked = graph.inputs[name].at(rows)
            own = {"seeds": view.local(nodes), "dense": asked.dense, "codes": asked.codes}
            for bag, csr in asked.bags.items():
                own |= {f"{bag}.indptr": csr.indptr, f"{bag}.indices": csr.indices}
            tensors |= {f"{name}/{key}": value for key, value in own.items() if value is not None}
        return AuxiliaryBatch({"view": view}, tensors)

    def losses(self, encode: Encode, batch: AuxiliaryBatch) -> Tensor:
        """Mean over its known features of each seed's losses ``[n]``, type after type."""
        h = encode(batch.views["view"])
        found = []
        for name in self.decoders.names:
            own = {
                key.removeprefix(f"{name}/"): value
                for key, value in batch.tensors.items()
                if key.startswith(f"{name}/")
            }
            found.append(self.decoders[name](h[own["seeds"]], own))
        return torch.cat(found)


class FeatureDecoder(nn.Module):
    """A linear layer for the dense columns, one for each categorical column and each bag."""

    def __init__(self, meta: TypeMeta, width: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.dense = nn.Linear(width, meta.dense) if meta.dense else None
        self.codes = nn.ModuleList(nn.Linear(width, size) for size in meta.vocabularies)
        self.bags = NamedModules({name: nn.Linear(width, size) for name, size in meta.bags.items()})

    def forward(self, h: Tensor, asked: dict[str, Tensor]) -> Tensor:
        """Mean loss of a node's known features ``[n]``; nodes without any are left out."""
        parts = []  # of each: losses [n], and which of them have an answer
        if self.dense is not None:
            x = asked["dense"]
            parts.append((cosine_loss(self.dense(h), x, self.temperature), (x != 0).any(-1)))
        for column, layer in enumerate(self.codes):
            code = asked["codes"][:, column]
            parts.append(
                (
                    F.cross_entropy(at_least_float32(layer(h)), code, reduction="none"),
                    code != UNKNOWN,
                )
            )
        for bag in self.bags.names:
            csr = Csr(asked[f"{bag}.indptr"], asked[f"{bag}.indices"], 0)
            parts.append((bag_loss(self.bags[bag](h), csr), csr.indptr.diff() > 0))
        losses = torch.stack([loss for loss, _ in parts])
        known = torch.stack([has_answer for _, has_answer in parts])
        some = known.any(0)
        return (losses * known).sum(0)[some] / known.sum(0)[some]


def cosine_loss(guess: Tensor, x: Tensor, temperature: float) -> Tensor:
    """``(1 - cos(guess, x)) / temperature`` of each row ``[n]``.

    METHODS has ``-cos / temperature``. A constant makes it a loss, 0 at best, for weightings that
    take a small loss for a task that is learned.
    """
    return (1 - cosine(guess, x)) / temperature


def bag_loss(logits: Tensor, bag: Csr) -> Tensor:
    """Cross-entropy of a bag's tokens under one softmax, mean over its tokens ``[n]``."""
    of_tokens = -at_least_float32(logits).log_softmax(-1)[bag.dst, bag.indices]
    total = of_tokens.new_zeros(len(logits)).index_add(0, bag.dst, of_tokens)
    return total / bag.indptr.diff().clamp(min=1)
