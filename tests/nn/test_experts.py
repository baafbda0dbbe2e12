import pytest
import torch
from torch import nn
from torch.nn import functional as F

from counterpoint.nn.experts import Experts, Gates, gates_of, mixture, mixtures

X = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def made(count: int = 3) -> Experts:
    torch.manual_seed(1)
    experts = Experts(count, 4, 5).double()
    torch.nn.init.normal_(experts.bias)
    return experts


def test_experts_equal_a_loop_over_experts():
    experts = made()
    loop = [
        F.leaky_relu(F.linear(X, weight.t(), bias), 0.1)
        for weight, bias in zip(experts.weight, experts.bias, strict=True)
    ]
    torch.testing.assert_close(experts(X), torch.stack(loop, 1), rtol=0, atol=1e-12)


def test_each_expert_may_have_an_input_of_its_own():
    experts = made()
    each = torch.randn(7, 3, 4, dtype=torch.float64)
    expected = torch.stack([experts(each[:, k])[:, k] for k in range(3)], 1)
    torch.testing.assert_close(experts(each), expected, rtol=0, atol=1e-12)


def test_experts_start_in_the_range_of_a_linear_layer():
    torch.manual_seed(0)
    weight = Experts(8, 64, 32).weight.detach()
    bound = 64**-0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.99 * bound
    assert not torch.equal(weight[0], weight[1])


def test_gates_start_uniform_and_learn():
    gates = Gates(4, 3).double()
    torch.testing.assert_close(gates(X), torch.full((7, 3), 1 / 3, dtype=torch.float64))
    mixture(gates(X), made()(X)).pow(2).sum().backward()
    assert gates.linear.weight.grad.abs().sum() > 0


def test_gate_rows_sum_to_one():
    gates = Gates(4, 3).double()
    torch.nn.init.normal_(gates.linear.weight)
    rows = gates(X)
    assert rows.min() > 0
    torch.testing.assert_close(rows.sum(1), torch.ones(7, dtype=torch.float64))
    assert not torch.allclose(rows[0], rows[1])


def test_mixture_equals_a_loop_over_rows():
    gates, outputs = torch.rand(7, 3).double(), torch.randn(7, 3, 5).double()
    loop = torch.stack([g @ o for g, o in zip(gates, outputs, strict=True)])
    torch.testing.assert_close(mixture(gates, outputs), loop, rtol=0, atol=1e-12)


def test_no_row_reaches_another():
    experts = made()
    torch.testing.assert_close(experts(X)[2:4], experts(X[2:4]), rtol=0, atol=1e-12)
    assert experts(X[:0]).shape == (0, 3, 5)


def test_gradients():
    experts = made()
    logits = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)

    def mixed(x: torch.Tensor, logits: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        outputs = torch.func.functional_call(experts, {"weight": weight}, (x,))
        return mixture(logits.softmax(-1), outputs)

    weight = experts.weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(mixed, (X.clone().requires_grad_(), logits, weight))


@pytest.mark.parametrize("count", [1, 3])
def test_several_mixtures_are_each_its_own(count):
    gates = torch.rand(7, count, 4, dtype=torch.float64)
    outputs = torch.randn(7, 4, 5, dtype=torch.float64)
    found = mixtures(gates, outputs)
    assert len(found) == count
    for gate, mixed in zip(gates.unbind(1), found, strict=True):
        torch.testing.assert_close(mixed, mixture(gate, outputs))


@pytest.mark.parametrize("count", [1, 3])
def test_gates_of_one_input_at_once(count):
    gates = [Gates(4, 3).double() for _ in range(count)]
    for gate in gates:
        nn.init.normal_(gate.linear.weight)
        nn.init.normal_(gate.linear.bias)
    h = torch.randn(7, 4, dtype=torch.float64)
    found = gates_of(gates, h)
    assert found.shape == (7, count, 3)
    for gate, weights in zip(gates, found.unbind(1), strict=True):
        torch.testing.assert_close(weights, gate(h))
    assert gates_of(gates, h[:0]).shape == (0, count, 3)
