"""Deep explicit heterogeneous experts with soft selection and virtual gradients, DEPHN (2023)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from counterpoint.models.composed import ComposedModel, SharingSettings
from counterpoint.models.contract import Representations, Step, make_towers
from counterpoint.models.dephn_settings import Kind, Map
from counterpoint.models.virtual_gradient import (
    LabelCorrelation,
    coefficients,
    with_virtual_gradient,
)
from counterpoint.nn.experts import Experts, Gates
from counterpoint.nn.interactions import (
    HEADS,
    CrossNetwork,
    FieldAttention,
    FieldNetwork,
    SoftSelection,
)
from counterpoint.nn.named import NamedModules

MAPS: dict[Map, Callable[[Tensor], Tensor]] = {
    "raw": lambda h: h,
    "sin": torch.sin,
    "cos": torch.cos,
    "square": lambda h: torch.tanh(h) ** 2,  # bounded as the others are
}


class FieldExperts(nn.Module):
    """Experts of different kinds on the fields of a row, behind a selection gate of their own."""

    def __init__(
        self, kinds: Sequence[Kind], fields: int, e: int, settings: SharingSettings
    ) -> None:
        super().__init__()
        own, d = settings.dephn, fields * e
        self.selection = SoftSelection(fields, e) if own.selection and kinds else None
        self.dnn = kinds.count("dnn")
        inputs = [d] + [settings.width] * (own.layers - 1)
        self.dnns = nn.Sequential(
            *(Experts(self.dnn, width, settings.width) for width in inputs if self.dnn)
        )
        self.others = nn.ModuleList(
            CrossNetwork(d, own.layers, own.cross)
            if kind == "cross"
            else FieldNetwork(fields, own.layers, own.field)
            for kind in kinds
            if kind != "dnn"
        )
        self.widths = [settings.width] * self.dnn + [d] * len(self.others)

    def forward(self, tokens: Tensor, attended: Tensor | None) -> list[Tensor]:
        """Each expert's output ``[n, width of it]`` for fields ``[n, C, e]``, DNNs first."""
        if self.selection is not None and attended is not None:
            tokens = self.selection(tokens, attended)
        deep = self.dnns(tokens.flatten(1)).unbind(1) if self.dnn else ()
        return [*deep, *(expert(tokens) for expert in self.others)]


class PublicPart(nn.Module):
    """Attention among fields, and the experts of all tasks."""

    def __init__(self, fields: int, e: int, settings: SharingSettings) -> None:
        super().__init__()
        own = settings.dephn
        self.attention = FieldAttention(e) if own.selection else None
        self.experts = FieldExperts(own.public, fields, e, settings)


class PrivatePart(nn.Module):
    """A task's gates over the maps of public experts, and experts of its own."""

    def __init__(self, fields: int, e: int, settings: SharingSettings, d_in: int) -> None:
        super().__init__()
        own = settings.dephn
        count = len(own.public) * len(own.maps)
        self.experts = FieldExperts(own.private, fields, e, settings)
        self.gates = (
            Gates(d_in, count)
            if own.gates == "mapping"
            else nn.Parameter(torch.full((count,), 1 / count))
        )


class DEPHN(ComposedModel):
    """``pub_t || pri_t`` for each task, and a linear tower: ``sigma(pub + pri)`` (eq. 4 to 6).

    ``pub_t`` are maps of the public experts' outputs, each times the task's gate; ``pri_t`` the
    outputs of its private experts. The paper adds two sigmoids, which is no probability.
    In training free gates have virtual gradients; in evaluation, plain ones.
    """

    sharing: PublicPart
    owner: Tensor

    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """Attention and public experts."""
        own = settings.dephn
        self.maps, self.fields = own.maps, self.encoder.fields or own.fields
        self.e = -(-d_in // self.fields)
        if self.encoder.fields is None:  # then nothing is lost by zeros after the last part
            self.e = -(-self.e // HEADS) * HEADS
        return PublicPart(self.fields, self.e, settings)

    def make_private(self, d_in: int, settings: SharingSettings) -> NamedModules:
        """Each task's gates and experts."""
        self.virtual = settings.dephn.virtual if len(self.tasks) > 1 else None
        if self.virtual is not None:
            self.correlation = LabelCorrelation(self.tasks, self.virtual)
        return NamedModules(
            {task: PrivatePart(self.fields, self.e, settings, d_in) for task in self.tasks}
        )

    def make_towers(self, settings: SharingSettings) -> NamedModules:
        """Linear towers on a task's public and private part."""
        public = [width for width in self.sharing.experts.widths for _ in self.maps]
        # which gate each number of the public part belongs to
        owner = torch.arange(len(public)).repeat_interleave(torch.tensor(public))
        self.register_buffer("owner", owner, persistent=False)
        private = self.private_part(next(iter(self.tasks)))
        self.representation_width = d_in = sum(public) + sum(private.experts.widths)
        return make_towers(
            self.tasks,
            d_in,
            settings.tower_width,
            hidden=False,
            normalise=settings.normalise_logits,
        )

    def last_shared(self) -> nn.Module:
        """The public experts."""
        return self.sharing.experts

    def mix(self, h: Tensor) -> Representations:
        """Each task's public and private part, side by side."""
        tokens = pad(h, (0, self.fields * self.e - h.shape[1])).view(len(h), self.fields, self.e)
        attention = self.sharing.attention
        attended = None if attention is None else attention(tokens)
        outputs = self.sharing.experts(tokens, attended)
        public = torch.cat([MAPS[name](out) for out in outputs for name in self.maps], dim=1)
        found: Representations = {}
        for task, gates in self.gates(h).items():
            gated = public * gates.index_select(-1, self.owner)
            own = self.private_part(task).experts(tokens, attended)
            found[task] = torch.cat([gated, *own], dim=1)
        return found

    def private_part(self, task: str) -> PrivatePart:
        """What a task has besides its tower."""
        part = self.private[task]
        assert isinstance(part, PrivatePart)
        return part

    def gates(self, h: Tensor) -> dict[str, Tensor]:
        """Each task's weights of the maps of public experts, ``[K P]`` or ``[n, K P]``."""
        found: dict[str, Tensor] = {}
        for task in self.tasks:
            gates = self.private_part(task).gates
            found[task] = gates if isinstance(gates, Tensor) else gates(h)
        if self.virtual is None or not self.training:
            return found
        gamma = coefficients(torch.stack(list(found.values())), self.correlation(), self.virtual)
        return {
            task: with_virtual_gradient(gates, gamma[place])
            for place, (task, gates) in enumerate(found.items())
        }

    def observe(self, step: Step) -> None:
        """Let the running correlation of labels take in a training step."""
        if self.virtual is not None:
            self.correlation.observe(step.batches)
