"""Hint networks of SELAR: what a pair looks like once its users have heard of the hubs.

Hwang et al. 2020, METHODS B.5: a stack of graph attention on the model's representations, with
edges from the most popular items to all users; a pair's logit is a dot product.
"""

import math
from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.data.schema import Strict
from counterpoint.graph.ops import Csr
from counterpoint.graph.views import Block, View
from counterpoint.nn.convolutions import GAT
from counterpoint.nn.named import NamedModules


class HintSettings(Strict):
    """``hubs`` items speak to every user, through ``layers`` of attention."""

    hubs: PositiveInt = 5
    layers: PositiveInt = 2


class HintNetwork(nn.Module):
    """One task's hints: ``layers`` of :class:`GAT` with ReLU between them, then a dot product."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GAT(width, width, 0, heads=1) for _ in range(layers))

    def forward(self, block: Block, h: Tensor, pairs: Tensor) -> Tensor:
        """Logits ``[n]`` of ``pairs [n, 2]``, rows of the representations ``h [n_out, width]``."""
        for number, layer in enumerate(self.layers):
            h = layer(block, F.relu(h) if number else h)
        src, dst = (h[rows] for rows in pairs.unbind(-1))
        return (src * dst).sum(-1) / math.sqrt(h.shape[1])


class HintNetworks(nn.Module):
    """A network a task, and who the hubs and the users are.

    Shapes: ``popularity [N]`` of the graph's nodes as items of the target task, 0 for all others;
    ``users [N]`` (bool).
    """

    popularity: Tensor
    users: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        width: int,
        popularity: Tensor,
        users: Tensor,
        settings: HintSettings,
    ) -> None:
        super().__init__()
        self.hubs = settings.hubs
        self.networks = NamedModules({task: HintNetwork(width, settings.layers) for task in tasks})
        self.register_buffer("popularity", popularity, persistent=False)
        self.register_buffer("users", users, persistent=False)

    def block(self, view: View) -> Block:
        """Edges from the most popular items of the view to its users, over its outputs.

        Where outputs are sampled, the hubs are the most popular of those; an item that nobody has
        is none.
        """
        popularity, users = self.popularity, self.users
        if view.rows is not None:
            popularity, users = popularity[view.rows], users[view.rows]
        hubs = torch.argsort(popularity, descending=True, stable=True)[: self.hubs]
        hubs = hubs[popularity[hubs] > 0].sort().values
        degree = users.long() * len(hubs)
        indptr = F.pad(degree.cumsum(0), (1, 0))
        csr = Csr(indptr, hubs.repeat(int(users.sum())), len(users))
        return Block(csr, torch.zeros_like(csr.indices), degree, view.node_type[: len(users)])
