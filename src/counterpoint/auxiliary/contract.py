"""What a self-supervised objective is: a view of its own, and losses of what the view hides."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from counterpoint.data.schema import Strict
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import TrainingGraph, View

Encode = Callable[[View], Tensor]  # the model's shared representation of a view's outputs [n, d]


class AuxiliarySettings(Strict):
    """What every objective may be told.

    ``seeds`` nodes are drawn a step; losses are multiplied by ``scale`` before anything weighs
    them.
    """

    seeds: PositiveInt = 256
    scale: PositiveFloat = 1.0


class Views(Protocol):
    """Makes the views of one step, on the whole graph or on a sampled part of it."""

    def __call__(
        self, nodes: Tensor, *, keep: Tensor | None = None, hidden: Tensor | None = None
    ) -> View:
        """A view with ``nodes`` (flat numbers) among its outputs.

        Args:
            nodes: ``[n]``; repeated ones are taken once.
            keep: ``[E]`` (bool) edges of the training graph to leave in; None: all.
            hidden: ``[h]`` flat numbers of nodes whose input features are taken away.
        """


@dataclass(frozen=True)
class AuxiliaryBatch:
    """One step of an objective: its views by name, and whatever else it drew."""

    views: Mapping[str, View]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> "AuxiliaryBatch":
        """The same batch on a device."""
        views = {name: view.to(device) for name, view in self.views.items()}
        return AuxiliaryBatch(views, {name: x.to(device) for name, x in self.tensors.items()})


class Auxiliary(nn.Module, ABC):
    """An auxiliary objective. Its parameters and buffers are thrown away after training.

    It sees the graph of training edges and its features, nothing else, and must not ask for what
    its own view shows: ``hides`` says in a line what is taken out of the view, and why the answer
    is then not in it.
    """

    hides: str
    scale: float = 1.0  # of its losses, as the settings say

    @abstractmethod
    def batch(
        self, graph: TrainingGraph, views: Views, generator: torch.Generator
    ) -> AuxiliaryBatch:
        """What this step hides and asks; a function of the graph and the generator alone."""

    @abstractmethod
    def losses(self, encode: Encode, batch: AuxiliaryBatch) -> Tensor:
        """Loss of each question ``[n]``; n may differ from step to step, and be 0.

        A weighting evaluates it several times a step, at other parameters and under torch's
        transforms: it must not change a buffer.
        """

    def remember(self, encode: Encode, batch: AuxiliaryBatch, progress: float) -> None:
        """Update buffers, if there are any: once after each step of the optimiser.

        Args:
            encode: the model after the step, without dropout and gradients.
            batch: what the step asked.
            progress: share of all steps that are taken, in (0, 1].
        """


def at_least_float32(x: Tensor) -> Tensor:
    """What autocast has in bfloat16 is too coarse for a loss; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def nodes_of_types(graph: TrainingGraph, node_types: tuple[str, ...]) -> Tensor:
    """Flat numbers of all nodes of some types that the graph has not left out."""
    ranges = [
        torch.arange(graph.meta.count(name)) + graph.meta.offsets[name] for name in node_types
    ]
    nodes = torch.cat(ranges)
    return nodes[~graph.left_out[nodes]]


def drawn_nodes(
    graph: TrainingGraph, node_types: tuple[str, ...], count: int, generator: torch.Generator
) -> Tensor:
    """``count`` distinct flat node numbers of some types, fewer if there are no more, sorted."""
    nodes = nodes_of_types(graph, node_types)
    chosen = torch.randperm(len(nodes), generator=generator)[:count]
    return nodes[chosen].sort().values


def nodes_by_type(meta: GraphMeta, nodes: Tensor, node_types: tuple[str, ...]) -> dict[str, Tensor]:
    """Those of the flat node numbers that are of each type."""
    found = {}
    for name in node_types:
        low, high = meta.offsets[name], meta.offsets[name] + meta.count(name)
        found[name] = nodes[(nodes >= low) & (nodes < high)]
    return found
