"""Edge generation (GPT-GNN, Hu et al. 2020; METHODS B.6): which node was this one joined to?"""

from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from counterpoint.auxiliary.contract import (
    Auxiliary,
    AuxiliaryBatch,
    AuxiliarySettings,
    Encode,
    Views,
    drawn_nodes,
    nodes_by_type,
)
from counterpoint.auxiliary.cosine import unit
from counterpoint.auxiliary.masking import edges_without, masked_pairs, neighbour_keys
from counterpoint.errors import UserError
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import TrainingGraph
from counterpoint.nn.named import NamedModules

FEW = 8  # so many masked edges of a relation, or fewer, are not worth a question (METHODS B.6)


class EdgeGenerationSettings(AuxiliarySettings):
    """``relations`` None: all but the reverse ones.

    ``mask`` is the share of edges into a seed that are taken away, ``edges`` how many of them are
    asked for at most, a relation and step. An edge is told from ``negatives`` nodes of the step
    and from a ``queue`` of earlier sources, by cosines over ``temperature``.
    """

    kind: Literal["edge_generation"]
    relations: tuple[str, ...] | None = None
    mask: float = Field(default=0.5, gt=0, le=1)
    edges: PositiveInt = 256
    negatives: PositiveInt = 31
    queue: NonNegativeInt = 1024
    temperature: PositiveFloat = 0.1


class EdgeGeneration(Auxiliary):
    """InfoNCE ``-log softmax(cos(W_r h_v, h_u) / temperature)`` of each masked edge u -> v.

    ``queue [R, Q, d]`` holds directions of earlier sources, the newest first, and
    ``queue_nodes [R, Q]`` who they were, -1 where there is none yet.
    """

    hides = "masked edges, with all edges of any relation that join the same two nodes, either way"
    queue: Tensor
    queue_nodes: Tensor

    def __init__(self, meta: GraphMeta, width: int, settings: EdgeGenerationSettings) -> None:
        super().__init__()
        self.settings, self.n_nodes = settings, meta.n_nodes
        self.places = _chosen_relations(meta, settings.relations)
        chosen = [meta.relations[place] for place in self.places.values()]
        self.node_types = tuple(dict.fromkeys(relation.dst for relation in chosen))
        self.heads = NamedModules({name: nn.Linear(width, width) for name in self.places})
        size = len(self.places), settings.queue
        self.register_buffer("queue", torch.zeros(*size, width))
        self.register_buffer("queue_nodes", torch.full(size, -1))

    def batch(
        self, graph: TrainingGraph, views: Views, generator: torch.Generator
    ) -> AuxiliaryBatch:
        """A view without the masked edges; pairs ``[n, 2]`` and negatives ``[n, k]`` a relation.

        Relations with too few masked edges are not asked for.
        """
        seeds = drawn_nodes(graph, self.node_types, self.settings.seeds, generator)
        masked, asked = [], {}
        for name, place in self.places.items():
            pairs = masked_pairs(graph, place, seeds, self.settings.mask, generator)
            masked.append(pairs)
            if len(pairs) > FEW:
                order = torch.randperm(len(pairs), generator=generator)
                asked[name] = pairs[order[: self.settings.edges]]
        here = torch.unique(torch.cat([seeds, *(pairs.flatten() for pairs in asked.values())]))
        tensors = {f"{name}:pairs": pairs for name, pairs in asked.items()}
        for name, pairs in asked.items():
            source = graph.meta.relations[self.places[name]].src
            pool = self._pool(graph, here, source, generator)
            tensors[f"{name}:negatives"] = _windows(
                pool, len(pairs), self.settings.negatives, generator
            )
        heads = [pairs[:, 0] for pairs in asked.values()]
        tensors["linked"] = neighbour_keys(graph, torch.cat([seeds[:0], *heads]))
        nodes = torch.cat([seeds, *(tensors[key].flatten() for key in tensors if ":" in key)])
        keep = edges_without(graph, torch.cat(masked))
        return AuxiliaryBatch({"view": views(nodes, keep=keep)}, tensors)

    def _pool(
        self, graph: TrainingGraph, here: Tensor, source: str, generator: torch.Generator
    ) -> Tensor:
        """Nodes of a type that the step has anyway, and some more: hard and easy negatives."""
        own = nodes_by_type(graph.meta, here, (source,))[source]
        more = drawn_nodes(graph, (source,), self.settings.negatives, generator)
        pool: Tensor = torch.unique(torch.cat([own, more]))
        return pool

    def losses(self, encode: Encode, batch: AuxiliaryBatch) -> Tensor:
        """InfoNCE of each edge asked for ``[n]``, relation after relation."""
        view = batch.views["view"]
        h = encode(view)
        directions = unit(h)
        found = [directions[:0].sum(-1)]
        for name in self._asked(batch):
            queries = unit(self.heads[name](h[view.local(batch.tensors[f"{name}:pairs"])[:, 0]]))
            found.append(self._info_nce(name, queries, directions, batch))
        return torch.cat(found)

    def _asked(self, batch: AuxiliaryBatch) -> list[str]:
        return [name for name in self.places if f"{name}:pairs" in batch.tensors]

    def _info_nce(
        self, name: str, queries: Tensor, directions: Tensor, batch: AuxiliaryBatch
    ) -> Tensor:
        """Of unit rows: ``queries [n, d]`` of the seeds, ``directions [n_out, d]`` of all."""
        place, view = list(self.places).index(name), batch.views["view"]
        pairs, near = batch.tensors[f"{name}:pairs"], batch.tensors[f"{name}:negatives"]
        positive = (queries * directions[view.local(pairs)[:, 1]]).sum(-1, keepdim=True)
        with torch.autocast(queries.device.type, enabled=False):  # bfloat16 would be off by .04
            of_near = torch.einsum("nd,nkd->nk", queries, directions[view.local(near)])
            of_queue = queries @ self.queue[place].to(queries.dtype).T
        # u itself is linked, so an old copy of it in the queue is no negative
        linked, first = batch.tensors["linked"], pairs[:, :1] * self.n_nodes
        of_near = of_near.masked_fill(_contains(linked, first + near), -float("inf"))
        seeds, row = torch.unique(first, return_inverse=True)  # a search for each seed, not edge
        earlier = self.queue_nodes[place]
        no_negative = _contains(linked, seeds[:, None] + earlier) | (earlier < 0)
        of_queue = of_queue.masked_fill(no_negative[row.flatten()], -float("inf"))
        logits = torch.cat([positive, of_near, of_queue], dim=1) / self.settings.temperature
        return logits.logsumexp(1) - logits[:, 0]

    def remember(self, encode: Encode, batch: AuxiliaryBatch, progress: float) -> None:
        """Put the step's sources at the head of the queue, which grows with progress."""
        length = int(self.settings.queue * min(progress, 1.0))
        if not length:
            return
        view = batch.views["view"]
        directions = unit(encode(view)).to(self.queue.dtype)
        for name in self._asked(batch):
            place = list(self.places).index(name)
            nodes = batch.tensors[f"{name}:pairs"][:, 1].contiguous()
            newest = torch.cat([directions[view.local(nodes)], self.queue[place]])[:length]
            self.queue[place, : len(newest)] = newest
            newest = torch.cat([nodes, self.queue_nodes[place]])[:length]
            self.queue_nodes[place, : len(newest)] = newest


def _chosen_relations(meta: GraphMeta, wanted: tuple[str, ...] | None) -> dict[str, int]:
    """The numbers of the relations to ask for, by name."""
    there = {relation.name: place for place, relation in enumerate(meta.relations)}
    forward = [relation.name for relation in meta.relations if not relation.reverse]
    chosen = tuple(forward) if wanted is None else wanted
    if unknown := [name for name in chosen if name not in there]:
        raise UserError(
            f"auxiliaries: edge_generation: relations: {', '.join(unknown)} is none of the"
            f" graph's; there are {', '.join(there) or 'none'}"
        )
    if not chosen:
        raise UserError("auxiliaries: edge_generation: no relation to ask for")
    return {name: there[name] for name in chosen}


def _windows(pool: Tensor, rows: int, width: int, generator: torch.Generator) -> Tensor:
    """Distinct members of the pool for each row ``[rows, min(width, len(pool))]``.

    Neighbours on a shuffled circle, at a random place for each: as random as a draw of its own as
    far as any one row can tell, and much cheaper.
    """
    circle = pool[torch.randperm(len(pool), generator=generator)]
    start = torch.randint(len(pool), (rows, 1), generator=generator)
    return circle[(start + torch.arange(min(width, len(pool)))) % len(pool)]


def _contains(keys: Tensor, wanted: Tensor) -> Tensor:
    """Whether each of ``wanted`` is among the ascending ``keys``, which are not none."""
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return keys[place] == wanted
