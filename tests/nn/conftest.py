from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from counterpoint.graph.ops import Csr, use_backend
from counterpoint.graph.views import Block

# source, destination, relation: two relations join 4 -> 1, and node 2 has no incoming edge
TYPES = [0, 0, 1, 1, 0, 1]  # of the 6 nodes
EDGES = [(1, 0, 0), (4, 0, 1), (5, 0, 2), (4, 1, 0), (4, 1, 2), (0, 1, 1), (3, 3, 1), (1, 3, 2)]


def block(n_dst: int, extra_degree: int = 0, edges: list[tuple[int, int, int]] = EDGES) -> Block:
    """A block of 6 sources; ``extra_degree`` as if so many edges a node had not been sampled."""
    columns = torch.tensor(edges, dtype=torch.int64).reshape(-1, 3)
    src, dst, etype = columns[columns[:, 1] < n_dst].T.contiguous()
    csr, order = Csr.from_edges(src, dst, 6, n_dst)
    degree = torch.nn.functional.pad(csr.indptr.diff(), (0, 6 - n_dst)) + extra_degree
    return Block(csr, etype[order], degree, torch.tensor(TYPES))


@pytest.fixture(params=["torch", "dgl"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Who computes the message passing of the test."""
    with use_backend(request.param):
        yield request.param


@pytest.fixture
def make_block() -> Callable[..., Block]:
    return block


def gradients_of(layer: torch.nn.Module, block: Block, h: Tensor) -> dict[str, Tensor]:
    """Gradients of the parameters by name, after gradcheck in both modes to them and the input."""
    names, values = zip(*layer.named_parameters(), strict=True)

    def applied(h: Tensor, *parameters: Tensor) -> Tensor:
        new = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, new, (block, h))

    inputs = tuple(x.detach().clone().requires_grad_() for x in (h, *values))
    assert torch.autograd.gradcheck(applied, inputs, check_forward_ad=True)
    found = torch.autograd.grad(applied(*inputs).pow(2).sum(), inputs[1:], materialize_grads=True)
    return dict(zip(names, found, strict=True))


@pytest.fixture
def checked_gradients() -> Callable[..., dict[str, Tensor]]:
    return gradients_of


def derivatives_of(layer: torch.nn.Module, block: Block, h: Tensor) -> list[Tensor]:
    """Of the output's squares to the input and all parameters; the output's tangent along ones."""
    inputs = [h.detach().requires_grad_(), *layer.parameters()]
    found = torch.autograd.grad(layer(block, inputs[0]).pow(2).sum(), inputs)
    plain = h.detach()
    tangent = torch.func.jvp(lambda h: layer(block, h), (plain,), (torch.ones_like(plain),))[1]
    return [*found, tangent.detach()]


def check_backends(
    make_layer: Callable[[], torch.nn.Module], make_block: Callable[[], Block], h: Tensor
) -> None:
    found = []
    for name in ("torch", "dgl"):
        with use_backend(name):
            found.append(derivatives_of(make_layer(), make_block(), h))
    assert all(one.any() for one in found[0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.fixture
def equal_on_both_backends() -> Callable[..., None]:
    """Checks that DGL's derivatives are torch's."""
    return check_backends


@pytest.fixture
def edges() -> list[tuple[int, int, int]]:
    return EDGES
