"""Composed architectures: an encoder, a part that shares, a tower a task."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from counterpoint.data.schema import Strict, Task
from counterpoint.graph.views import View
from counterpoint.models.contract import Model, Representations, grouped, make_towers
from counterpoint.models.dephn_settings import DEPHNSettings
from counterpoint.models.mogenet_settings import MoGENetSettings
from counterpoint.nn.encoders import Encoder
from counterpoint.nn.named import NamedModules


class InlineSettings(Strict):
    """InLINE's own: what each block sees, and in how many of its layers the exchange is inner.

    ``cgc``: a task's block sees its own expert and the shared ones, a shared block all; ``mmoe``:
    every block sees all. ``disentangled_layers`` None: all of them. Without ``relation_gates`` a
    gate does not know the relation of its edge.

    Of the reference code, off: ``logit_dropout`` is dropout on attention logits, which makes them
    0; with ``v1_shared_context`` all blocks take gate input, nodes' own terms and relation logits
    from the first shared block.
    """

    topology: Literal["cgc", "mmoe"] = "cgc"
    shared_blocks: NonNegativeInt = 1
    disentangled_layers: NonNegativeInt | None = None
    relation_gates: bool = True
    gate_width: PositiveInt = 64
    logit_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    v1_shared_context: bool = False

    @model_validator(mode="after")
    def _context_is_there(self) -> Self:
        if self.v1_shared_context and not self.shared_blocks:
            raise ValueError("v1_shared_context: needs shared_blocks 1 or more")
        return self


class StrucHISSettings(Strict):
    """``mask_absent``: relations by which a node has no neighbour get no attention."""

    gate_width: PositiveInt = 64
    mask_absent: bool = True


class SharingSettings(Strict):
    """``width`` of the bottom or of each expert, and of the towers' hidden layer.

    ``experts`` are MMoE's, and SNR's sub-networks a level. PLE has ``shared_experts`` and for each
    task ``own_experts``; its, Cross-Stitch's and SNR's ``levels`` lie on top of each other.
    ``gate_penalty`` is what SNR pays for an open connection. ``normalise_logits`` gives the rows of
    node tasks' logits length 1, as the code of InLINE and StrucHIS has it (METHODS A.4). What is
    one architecture's alone stands under its name.
    """

    width: PositiveInt = 32
    experts: PositiveInt = 4
    tower_width: PositiveInt = 32
    levels: PositiveInt = 2
    own_experts: NonNegativeInt = 1
    shared_experts: PositiveInt = 2
    gate_penalty: NonNegativeFloat = 1e-4
    normalise_logits: bool = False
    inline: InlineSettings = InlineSettings()
    struchis: StrucHISSettings = StrucHISSettings()
    dephn: DEPHNSettings = DEPHNSettings()
    mogenet: MoGENetSettings = MoGENetSettings()


class ComposedModel(Model):
    """Encoder, ``mix`` of its representation for each task, towers."""

    def __init__(
        self, encoder: Encoder, tasks: Mapping[str, Task], settings: SharingSettings
    ) -> None:
        super().__init__()
        self.tasks = dict(tasks)
        self.encoder = encoder
        self.representation_width = settings.width
        self.sharing = self.make_sharing(encoder.width, settings)
        self.private = self.make_private(encoder.width, settings)
        self.towers = self.make_towers(settings)

    @property
    def depth(self) -> int:
        """How many blocks of edges a view needs."""
        return self.encoder.depth

    @abstractmethod
    def make_sharing(self, d_in: int, settings: SharingSettings) -> nn.Module:
        """What several tasks use: a bottom or experts."""

    def make_private(self, d_in: int, settings: SharingSettings) -> NamedModules:
        """What each task has besides its tower, by task name; here nothing."""
        return NamedModules({})

    def make_towers(self, settings: SharingSettings) -> NamedModules:
        """A tower a task on what :meth:`mix` gives."""
        return make_towers(
            self.tasks,
            settings.width,
            settings.tower_width,
            normalise=settings.normalise_logits,
        )

    @abstractmethod
    def mix(self, h: Tensor) -> Representations:
        """``h [n, d]`` of the encoder to each task's ``[n, width]``."""

    def encode(self, view: View) -> Representations:
        """Representations of the view's outputs for each task ``[n_out, width]``."""
        return self.mix(self.encoder(view))

    def trunk(self, view: View) -> Tensor:
        """The encoder's representations ``[n_out, d]``."""
        h: Tensor = self.encoder(view)
        return h

    @property
    def trunk_width(self) -> int:
        """The encoder's width."""
        return self.encoder.width

    def trunk_names(self) -> list[str]:
        """The encoder's parameters."""
        return [f"encoder.{name}" for name, _ in self.encoder.named_parameters()]

    def owned(self, task: str) -> list[nn.Module]:
        """The modules that no other task's loss reaches."""
        private = [self.private[task]] if task in self.private.names else []
        return [self.towers[task], *private]

    def last_shared(self) -> nn.Module:
        """The last layer that all tasks use."""
        return self.sharing

    def parameter_groups(self) -> dict[str, list[str]]:
        """``shared`` (encoder and sharing part), ``last_shared``, ``tower:<task>``."""
        owned = {task: self.owned(task) for task in self.tasks}
        return grouped(self, owned, [self.last_shared()])
