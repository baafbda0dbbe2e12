"""InLINE: exchange between tasks inside each graph layer, relation by relation (METHODS A.2)."""

from torch import Tensor, nn

from counterpoint.models.blocks import BlockModel, Convolutions
from counterpoint.models.composed import InlineSettings, SharingSettings
from counterpoint.nn.exchange import SeenGates
from counterpoint.nn.inline import InlineLayer


class Inline(BlockModel):
    """A block a task and shared ones; above ``disentangled_layers`` they exchange states instead.

    After the last layer the shared blocks' outputs would have no reader, and are not made.
    """

    encoders: tuple[str, ...] = ("gat", "hgn")  # whose layer has an attention for messages to enter

    def count_networks(self, sharing: SharingSettings) -> int:
        """A block a task, and the shared ones."""
        return len(self.tasks) + self.settings(sharing).shared_blocks

    def settings(self, sharing: SharingSettings) -> InlineSettings:
        """InLINE's own settings."""
        return sharing.inline

    def make_layers(
        self, count: int, sharing: SharingSettings
    ) -> tuple[nn.ModuleList, nn.ModuleList]:
        """Inner layers, then outer ones."""
        settings = self.settings(sharing)
        inner = count if settings.disentangled_layers is None else settings.disentangled_layers
        self.seen = [self._seen(number, settings) for number in range(self.networks)]
        layers, exchanges = nn.ModuleList(), nn.ModuleList()
        for number in range(count):
            outputs = self.seen[: len(self.tasks)] if number + 1 == count else self.seen
            if number < inner:
                layers.append(self._inner(outputs, settings))
                exchanges.append(nn.Identity())
            else:
                layers.append(Convolutions(self.networks, self.encoder, self.width, self.meta))
                exchanges.append(SeenGates(self.width, outputs, range(len(outputs))))
        return layers, exchanges

    def _seen(self, number: int, settings: InlineSettings) -> list[int]:
        """The experts that a block sees, its own first."""
        tasks = len(self.tasks)
        sees_all = settings.topology == "mmoe" or number >= tasks
        seen = range(0 if sees_all else tasks, self.networks)
        return [number, *(other for other in seen if other != number)]

    def _inner(self, outputs: list[list[int]], settings: InlineSettings) -> InlineLayer:
        return InlineLayer(
            self.width,
            self.networks,
            outputs,
            len(self.meta.relations),
            len(self.meta.node_types),
            attends_relations=self.encoder == "hgn",
            gates_relations=settings.relation_gates,
            gate_width=settings.gate_width,
            logit_dropout=settings.logit_dropout,
            context=len(self.tasks) if settings.v1_shared_context else None,
        )

    def exchanged(self, number: int, before: Tensor, after: Tensor) -> Tensor:
        """In outer layers, mixtures of the states."""
        exchange = self.exchanges[number]
        return exchange(before, after) if isinstance(exchange, SeenGates) else after

    def private(self, task: str) -> list[nn.Module | nn.Parameter]:
        """Of the last layer the task's reader and, if no other block sees it, its expert."""
        place, layer, exchange = list(self.tasks).index(task), self.layers[-1], self.exchanges[-1]
        alone = sum(place in seen for seen in self.seen[: len(self.tasks)]) == 1
        if isinstance(layer, InlineLayer):
            expert = [layer.experts[place]] if alone else []
            return [layer.attention[place], layer.gates[place], *expert]
        assert isinstance(layer, Convolutions)
        assert isinstance(exchange, SeenGates)
        return [exchange.gates[place], *([layer.networks[place]] if alone else [])]
