"""Mixture of graph-enhanced experts, MoGENet (METHODS C.3 and C.4)."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterpoint.data.schema import Task
from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations, TaskBatch
from counterpoint.models.mogenet_settings import Kappa
from counterpoint.nn.experts import SLOPE, Experts, Gates, mixture
from counterpoint.nn.named import NamedModules

Parts = tuple[Tensor, ...]  # features and channels, [n, d] each
CHANNELS = 2  # what the graph says of a node: its neighbours', and its peers' part


class Joined(nn.Module):
    """kappa: vectors of the two sides of a pair, ``[n, ..., d]`` each, to one."""

    def __init__(self, kappa: Kappa, width: int) -> None:
        super().__init__()
        self.kappa = kappa
        self.width = 2 * width if kappa == "concat" else width
        self.linear = nn.Linear(2 * width, width) if kappa == "mlp" else None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """``a * b``, ``a + b``, ``[a || b]`` or ``LeakyReLU([a || b] W + w)``."""
        if self.kappa == "product":
            return a * b
        if self.kappa == "add":
            return a + b
        both = torch.cat([a, b], dim=-1)
        return both if self.linear is None else F.leaky_relu(self.linear(both), SLOPE)


class GraphExperts(nn.Module):
    """Experts of the tasks on pairs, or on nodes: ``f^n(x) || Z^n``, mixed by a gate.

    For a pair x is both sides' features and Z the four joins of their two channels, in the order
    (u, i), (u, i'), (u', i), (u', i') with ' for the similarity graph. For a node Z is its two.
    """

    def __init__(self, sides: int, width: int, settings: SharingSettings) -> None:
        super().__init__()
        own = settings.mogenet
        self.sides, self.count = sides, CHANNELS**sides
        self.graph_experts = min(own.graph_experts, self.count)
        channels = range(1, 1 + CHANNELS)  # of a part: after the features
        self.chosen = list(product(channels, repeat=sides))[: self.graph_experts]
        inputs = [sides * width] + [settings.width] * (own.layers - 1)
        self.perceptrons = nn.Sequential(
            *(Experts(self.count, d_in, settings.width) for d_in in inputs)
        )
        joined = sides == 2 and self.graph_experts > 0
        self.joined = Joined(own.kappa, width) if joined else None
        of_graph = width if self.joined is None else self.joined.width
        self.width = settings.width + of_graph * (self.graph_experts > 0)

    def forward(self, parts: Sequence[Parts], gates: Tensor) -> Tensor:
        """``[n, width]`` for the parts of each side and gates ``[n, experts]``."""
        x = torch.cat([part[0] for part in parts], dim=1)
        mixed = mixture(gates, self.perceptrons(x))
        if not self.graph_experts:
            return mixed
        of_graph = self._of_graph(parts, gates[:, : self.graph_experts])
        return torch.cat([mixed, of_graph], dim=1)

    def _of_graph(self, parts: Sequence[Parts], gates: Tensor) -> Tensor:
        """The mixture of Z ``[n, width]``."""
        if self.joined is not None and self.joined.kappa == "product" and len(self.chosen) == 4:
            # sum_a u_a * (sum_b g_ab i_b), without Z: half of what is read and written
            (u0, u1), (i0, i1) = (part[1:] for part in parts)
            g00, g01, g10, g11 = gates.unsqueeze(-1).unbind(1)
            of_u0, of_u1 = torch.addcmul(g00 * i0, g01, i1), torch.addcmul(g10 * i0, g11, i1)
            return torch.addcmul(u0 * of_u0, u1, of_u1)
        return mixture(gates, torch.stack(self._graph(parts), dim=1))

    def _graph(self, parts: Sequence[Parts]) -> list[Tensor]:
        """Z, as much of it as experts carry."""
        found = []
        for chosen in self.chosen:
            sides = [part[channel] for part, channel in zip(parts, chosen, strict=True)]
            found.append(sides[0] if self.joined is None else self.joined(*sides))
        return found


class MoGENet(ComposedModel):
    """Graph-enhanced experts on the entity scored, a gate and an output vector a task (eq. 3-4).

    The encoder ``mgnn`` gives features and channels; the representation of another serves as all
    three. Pairs are scored one by one: gates and experts see both sides. The cooperative loss
    (eq. 7) is a penalty, ``-balance * mean over rows of sum_{n < m} g_n g_m``, for each task.
    """

    factorised = False
    sharing: nn.ModuleDict

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """Experts for the tasks on nodes, and for those on pairs."""
        self.settings, self.representation_width = settings.mogenet, d_in
        self.part_width = d_in // (self.encoder.channels or 1)
        kinds = {_entity(task): len(task.node_types) for task in self.tasks.values()}
        return nn.ModuleDict(
            {kind: GraphExperts(sides, self.part_width, settings) for kind, sides in kinds.items()}
        )

    def make_private(self, d_in: int, settings: SharingSettings) -> NamedModules:
        """A gate a task on the features of its entity."""
        return NamedModules(
            {
                name: gate_network(
                    len(task.node_types) * self.part_width,
                    self.settings.gate_layers,
                    self.experts(name).count,
                )
                for name, task in self.tasks.items()
            }
        )

    def make_towers(self, settings: SharingSettings) -> NamedModules:
        """An output vector a task; a shared one serves the tasks of equal entity and classes."""
        outputs = {
            name: nn.Linear(self.experts(name).width, task.classes or 1)
            for name, task in self.tasks.items()
        }
        if self.settings.output == "own":
            return NamedModules(outputs)
        self.sharing["outputs"] = nn.ModuleDict(
            {_output_kind(task): outputs[name] for name, task in self.tasks.items()}
        )
        return NamedModules({})

    def owned(self, task: str) -> list[nn.Module]:
        """The gate, and the output vector if it is the task's own."""
        own = [self.towers[task]] if task in self.towers.names else []
        return [self.private[task], *own]

    def mix(self, h: Tensor) -> Representations:
        """The encoder's representation for every task; tasks differ where entities are scored."""
        return dict.fromkeys(self.tasks, h)

    def logits(self, representations: Representations, batch: TaskBatch) -> Tensor:
        """Logits of a batch ``[n]`` or ``[n, C]``."""
        return self.scored(representations, batch)[0]

    def scored(
        self, representations: Representations, batch: TaskBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and as ``balance:<task>`` the cooperative loss, least for uniform gates."""
        name, task = batch.task, self.tasks[batch.task]
        sides = self._sides(representations, batch)
        gates = self.private[name](torch.cat([side[0] for side in sides], dim=1))
        mixed = self.experts(name)(sides, gates)
        if self.settings.output == "own":
            output = self.towers[name]
        else:
            output = self.sharing["outputs"].get_submodule(_output_kind(task))
        logits = output(mixed) if task.classes else output(mixed).squeeze(-1)
        if not self.settings.balance:
            return logits, {}
        return logits, {f"balance:{name}": -self.settings.balance * self._agreement(gates)}

    def _agreement(self, gates: Tensor) -> Tensor:
        """``sum_{n < m} g_n g_m = (1 - |g|^2) / 2`` in the mean of rows, or of their mean gate."""
        rows = max(len(gates), 1)
        if self.settings.balanced == "batch":
            return (1 - (gates.sum(0) / rows).square().sum()) / 2
        return (1 - gates.square().sum(1)).sum() / (2 * rows)

    def _sides(self, representations: Representations, batch: TaskBatch) -> list[Parts]:
        """Features and channels of each entity of a row."""
        h = representations[batch.task].index_select(0, batch.entity.flatten())
        parts = h.view(*batch.entity.shape, -1, self.part_width).unbind(-2)
        if len(parts) == 1:  # of an encoder without channels: it serves as all
            parts = parts * (1 + CHANNELS)
        if batch.entity.ndim == 1:
            return [parts]
        return list(zip(*(part.unbind(1) for part in parts), strict=True))

    def experts(self, task: str) -> GraphExperts:
        """The experts of a task's kind of entity."""
        found = self.sharing[_entity(self.tasks[task])]
        assert isinstance(found, GraphExperts)
        return found


def gate_network(d_in: int, widths: Sequence[int], experts: int) -> nn.Sequential:
    """Hidden layers with leaky ReLUs, then a softmax over experts, uniform at the start."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(d_in, width), nn.LeakyReLU(SLOPE)]
        d_in = width
    return nn.Sequential(*layers, Gates(d_in, experts))


def _entity(task: Task) -> str:
    return "pair" if task.is_pair else "node"


def _output_kind(task: Task) -> str:
    return f"{_entity(task)}-{task.classes or 1}"
