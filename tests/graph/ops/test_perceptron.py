"""The perceptron on edges against a loop, in every mode of differentiation."""

from functools import cache

import pytest
import torch

from counterpoint.graph.ops import Csr, edge_perceptron

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # forward mode


@cache  # made once, and so never inside a transform, whose tensors DGL cannot read
def graphs():
    """Two relations over 5 edges, one of them bipartite, and the places of their edges."""
    first, _ = Csr.from_edges(torch.tensor([0, 2, 2]), torch.tensor([1, 0, 1]), 3, 2)
    second, _ = Csr.from_edges(torch.tensor([1, 0]), torch.tensor([2, 2]), 2, 4)
    return [(first, torch.tensor([0, 3, 4])), (second, torch.tensor([1, 2]))]


def tensors(hidden=3, out=2):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    at_dst = [drawn(csr.n_dst, hidden) for csr, _ in graphs()]
    at_src = [drawn(csr.n_src, hidden) for csr, _ in graphs()]
    return at_dst, at_src, [drawn(hidden, out) for _ in graphs()]


def applied(*flat):
    return edge_perceptron(graphs(), flat[:2], flat[2:4], flat[4:])


def flat_tensors():
    return [tensor for group in tensors() for tensor in group]


def looped(at_dst, at_src, out):
    rows = [None] * 5
    for (csr, places), a, b, w in zip(graphs(), at_dst, at_src, out, strict=True):
        for e, place in enumerate(places.tolist()):
            rows[place] = (a[csr.dst[e]] + b[csr.indices[e]]).relu() @ w
    return torch.stack(rows)


@pytest.fixture(params=[1, 2, 1 << 12])
def chunk(request, monkeypatch):
    monkeypatch.setattr("counterpoint.graph.ops.perceptron.CHUNK", request.param)


def test_equals_a_loop(chunk):
    torch.testing.assert_close(
        edge_perceptron(graphs(), *tensors()), looped(*tensors()), rtol=0, atol=1e-12
    )


def test_gradients_of_any_order(chunk, backend):
    inputs = flat_tensors()
    assert torch.autograd.gradcheck(applied, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(applied, inputs)


def test_gradients_in_chunks_are_those_of_the_loop(chunk, backend):
    weight = torch.arange(10.0, dtype=torch.float64).reshape(5, 2)
    inputs = flat_tensors()
    found = torch.autograd.grad((applied(*inputs) * weight).sum(), inputs)
    expected = torch.autograd.grad(
        (looped(inputs[:2], inputs[2:4], inputs[4:]) * weight).sum(), inputs
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_forward_mode_takes_any_subset_of_tangents(backend):
    inputs = [tensor.detach() for tensor in flat_tensors()]
    for place in range(len(inputs)):

        def one(tensor, place=place):
            return applied(*inputs[:place], tensor, *inputs[place + 1 :])

        tangent = torch.ones_like(inputs[place])
        found = torch.func.jvp(one, (inputs[place],), (tangent,))[1]
        ahead, behind = (one(inputs[place] + sign * 1e-6 * tangent) for sign in (1, -1))
        torch.testing.assert_close(found, (ahead - behind) / 2e-6, rtol=0, atol=1e-8)
