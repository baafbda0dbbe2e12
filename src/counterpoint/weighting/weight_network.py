"""The network V that weighs losses, and its gradient for thousands of rows."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

CHUNK = 1024  # rows at a time: their hidden layer stays in the cache


class WeightNetwork(nn.Sequential):
    """``V(z) = output(w2 ReLU(W1 z + b1) + b2)``: ``[R, F]`` to ``[R, 1]``.

    With a weight for each example the hidden layer is larger than all that the model computes. So
    what a step needs is written out beside autograd's way: chunk by chunk, with as few passes over
    that layer as there can be.
    """

    def __init__(self, inputs: int, hidden: int, output: Literal["softplus", "sigmoid"]) -> None:
        last = nn.Softplus() if output == "softplus" else nn.Sigmoid()
        super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 1), last)

    @torch.no_grad()
    def values(self, z: Tensor) -> Tensor:
        """V of the rows ``[R]``, without a graph."""
        found: Tensor = self[3](
            torch.cat([self._score(self._hidden(x)) for x in torch.split(z, CHUNK)])
        )
        return found

    @torch.no_grad()
    def set_gradient(self, z: Tensor, factor: Tensor) -> None:
        """Set ``grad`` of the parameters to that of ``sum_r factor_r V(z_r)``; factor ``[R]``."""
        first, second = self._linear_layers()
        z_and_one = torch.cat([z, z.new_ones(len(z), 1)], 1)
        of_first = z.new_zeros(len(first.weight), z_and_one.shape[1])
        of_second, of_bias = torch.zeros_like(second.weight[0]), torch.zeros_like(second.bias)
        for x, of_chunk in zip(
            torch.split(z_and_one, CHUNK), torch.split(factor, CHUNK), strict=True
        ):
            hidden = self._hidden(x[:, :-1])
            slope = of_chunk * self._slope(self._score(hidden))
            of_bias += slope.sum()
            of_second.addmv_(hidden.T, slope)
            active = hidden.sign_()  # in place: memory is what takes the time
            of_first.addmm_(active.T, slope[:, None] * x)
        of_first *= second.weight.T
        first.weight.grad, first.bias.grad = of_first[:, :-1].contiguous(), of_first[:, -1].clone()
        second.weight.grad, second.bias.grad = of_second[None], of_bias

    def _linear_layers(self) -> tuple[nn.Linear, nn.Linear]:
        first, _, second, _ = self
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        return first, second

    def _hidden(self, z: Tensor) -> Tensor:
        first, _ = self._linear_layers()
        return linear(z, first.weight, first.bias).relu_()

    def _score(self, hidden: Tensor) -> Tensor:
        """What goes into ``output`` ``[R]``."""
        _, second = self._linear_layers()
        return hidden @ second.weight[0] + second.bias

    def _slope(self, score: Tensor) -> Tensor:
        with torch.enable_grad():
            score.requires_grad_()
            (slope,) = torch.autograd.grad(self[3](score).sum(), score)
        return slope
