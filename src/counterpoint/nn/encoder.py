"""What an encoder is, and what it may be told."""

from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from counterpoint.data.schema import Strict
from counterpoint.graph.views import View
from counterpoint.nn.inputs import InputLayer


class MGNNSettings(Strict):
    """``update`` is the reading of the paper's f, ``tied`` one message matrix for all layers."""

    attention: Literal["scaled_dot", "additive"] = "scaled_dot"
    update: Literal["lstm", "geniepath", "jk_lstm"] = "lstm"
    tied: bool = False


class EncoderSettings(Strict):
    """``layers`` counts convolutions, or hidden layers and interactions of what has no graph.

    ``width`` is that of a representation, or of each of its parts; ``field_width`` of a field's
    embedding where fields are kept apart.
    """

    width: PositiveInt = 64
    layers: NonNegativeInt = 2
    dropout: float = Field(default=0.1, ge=0, lt=1)
    field_width: PositiveInt = 8
    mgnn: MGNNSettings = MGNNSettings()


class Encoder(nn.Module, ABC):
    """A view to representations ``[n_out, width]``, by way of ``depth`` blocks of edges.

    A representation may be made of equal parts: ``fields`` fields, or ``channels`` (the node's own
    features, what its neighbours say, what nodes like it say). With ``inner_product`` its authors
    score a pair by the inner product of its ends, and so do its twins.
    """

    width: int
    depth: int
    fields: int | None = None
    channels: int | None = None
    inner_product: bool = False
    input: InputLayer
    layers: nn.ModuleList

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """Representations of the view's outputs ``[n_out, width]``."""

    def last_layer(self) -> nn.Module:
        """What makes the representation: the last of the layers, the input where there is none."""
        return self.layers[-1] if len(self.layers) else self.input
