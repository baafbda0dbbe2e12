"""What DEPHN may be told."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from counterpoint.data.schema import Strict
from counterpoint.nn.interactions import CrossForm, FieldForm

Kind = Literal["dnn", "cross", "field"]
Map = Literal["raw", "sin", "cos", "square"]


class VirtualGradientSettings(Strict):
    """Which coefficient scales the gradient of a gate.

    ``combination`` of correlation x and difference of gates y: ``s = 2 x y`` or ``s = x + y``;
    ``shape``: ``cos(pi s) + 1``, ``2 |s - 1|``, ``2 (s - 1)^2`` or ``2 |s - 1|^(1/2)``. ``memory``
    of the running correlation of labels; 0 is the batch's own. Coefficients are ``floor`` at
    least: at 0 a gate is dead.
    """

    combination: Literal["multiplicative", "additive"] = "additive"
    shape: Literal["cosine", "absolute", "square", "root"] = "root"
    correlation: Literal["pearson", "cosine"] = "pearson"
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.99
    floor: NonNegativeFloat = 0.0


class DEPHNSettings(Strict):
    """``public`` experts serve all tasks through gates, ``private`` ones each task alone.

    An encoder's representation is cut into ``fields``, with zeros after the last, unless it has
    fields of its own. Experts are ``layers`` deep, in the form ``cross`` or ``field`` if they are
    of that kind. ``maps`` are taken of every public expert. ``gates``: free numbers, or a softmax
    of the representation.
    """

    fields: PositiveInt = 8
    layers: PositiveInt = 3
    selection: bool = True
    public: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("dnn", "dnn", "dnn")
    private: tuple[Kind, ...] = ("cross", "field")
    cross: CrossForm = "phn"
    field: FieldForm = "phn"
    maps: Annotated[tuple[Map, ...], Field(min_length=1)] = ("raw", "sin")
    gates: Literal["free", "mapping"] = "free"
    virtual: VirtualGradientSettings | None = VirtualGradientSettings()

    @model_validator(mode="after")
    def _virtual_gradient_of_free_gates(self) -> Self:
        if self.gates == "mapping" and self.virtual is not None:
            raise ValueError(
                "a virtual gradient is one of free gates; with mapping set virtual: null"
            )
        return self
