"""What MoGENet may be told."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from counterpoint.data.schema import Strict

Kappa = Literal["product", "concat", "add", "mlp"]


class MoGENetSettings(Strict):
    """``kappa`` joins what the graph says of both sides of a pair.

    The first ``graph_experts`` of the four carry it. Experts are ``layers`` deep; gates are
    perceptrons with ``gate_layers``, none: linear. ``output`` vectors of the tasks are their own
    or one. ``balance`` is the coefficient of the cooperative loss on the gates of each sample, or
    on those of the batch in the mean.
    """

    kappa: Kappa = "product"
    graph_experts: Annotated[int, Field(ge=0, le=4)] = 4
    layers: PositiveInt = 2
    gate_layers: tuple[PositiveInt, ...] = (16, 16)
    output: Literal["own", "shared"] = "own"
    balance: NonNegativeFloat = 1e-6
    balanced: Literal["sample", "batch"] = "sample"
