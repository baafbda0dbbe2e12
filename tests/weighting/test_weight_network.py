"""What is written out against autograd's own way, in float64."""

import pytest
import torch

from counterpoint.weighting import weight_network
from counterpoint.weighting.weight_network import WeightNetwork


@pytest.mark.parametrize("output", ["softplus", "sigmoid"])
@pytest.mark.parametrize("rows", [0, 1, 7, 16])
def test_values_and_gradient_are_those_of_autograd(monkeypatch, draw, output, rows):
    monkeypatch.setattr(weight_network, "CHUNK", 4)
    torch.manual_seed(0)
    network = WeightNetwork(3, 8, output).double()
    z, factor = draw(rows, 3), draw(rows, seed=1)
    expected = network(z).squeeze(-1)
    torch.testing.assert_close(network.values(z), expected, rtol=0, atol=1e-14)
    gradients = torch.autograd.grad((factor * expected).sum(), list(network.parameters()))
    for _ in range(2):  # it sets, it does not add
        network.set_gradient(z, factor)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert (gradient.norm() > 0) == (rows > 0)
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-13)
