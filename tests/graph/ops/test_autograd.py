import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, jvp, vjp

from counterpoint.graph import ops
from counterpoint.graph.ops import dgl_backend, torch_backend

# the first use of forward mode imports torch's rules for it, some of which torch itself scripts
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")


def test_backward_and_forward_mode(case, backend, csr, make_inputs):
    inputs = [x.requires_grad_() for x in make_inputs(csr)]
    assert gradcheck(
        lambda *x: case.operation(csr, *x), inputs, check_forward_ad=True, fast_mode=True
    )


def test_double_backward_and_forward_over_backward(case, backend, csr, make_inputs):
    inputs = [x.requires_grad_() for x in make_inputs(csr)]
    assert gradgradcheck(
        lambda *x: case.operation(csr, *x), inputs, check_fwd_over_rev=True, fast_mode=True
    )


def test_func_jvp_equals_finite_differences(case, backend, csr, make_inputs):
    inputs, tangents = make_inputs(csr), make_inputs(csr, seed=1)
    step = 1e-6

    def moved(sign: int) -> torch.Tensor:
        return case.operation(
            csr, *[x + sign * step * t for x, t in zip(inputs, tangents, strict=True)]
        )

    value, tangent = jvp(lambda *x: case.operation(csr, *x), tuple(inputs), tuple(tangents))
    torch.testing.assert_close(value, case.operation(csr, *inputs))
    torch.testing.assert_close(tangent, (moved(1) - moved(-1)) / (2 * step), atol=1e-7, rtol=1e-6)


def test_func_transforms_nest(case, backend, csr, make_inputs):
    """Hessian-vector products: forward over reverse, reverse over reverse, the loop's own."""
    inputs, directions = make_inputs(csr), make_inputs(csr, seed=1)
    every = tuple(range(len(inputs)))

    def loss(of, *x):
        return of(csr, *x).sin().sum()

    def slope(of):
        return grad(lambda *x: loss(of, *x), argnums=every)

    _, forward = jvp(slope(case.operation), tuple(inputs), tuple(directions))
    _, pull = vjp(slope(case.operation), *inputs)
    _, expected = jvp(slope(case.loop), tuple(inputs), tuple(directions))
    torch.testing.assert_close(forward, expected)
    torch.testing.assert_close(pull(tuple(directions)), expected)


class Attention(torch.nn.Module):
    """Scores from both ends, a softmax, a weighted sum: all operations that layers use."""

    def __init__(self) -> None:
        super().__init__()
        self.value = torch.nn.Linear(3, 4, dtype=torch.float64)
        self.query = torch.nn.Linear(3, 4, dtype=torch.float64)

    def forward(self, csr, x, y, softmax=ops.edge_softmax):
        value, query = self.value(x), self.query(y)
        logits = ops.edge_dot(csr, query, value) + ops.gather_src(csr, value[:, 0])
        return ops.weighted_sum(csr, softmax(csr, logits), value)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Attention()


@pytest.fixture
def x_and_y(csr):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(n, 3, dtype=torch.float64, generator=generator) for n in (csr.n_src, csr.n_dst)
    ]


def test_forward_mode_through_functional_call(layer, csr, x_and_y, backend):
    parameters = dict(layer.named_parameters())
    directions = {name: torch.ones_like(value) for name, value in parameters.items()}

    def outputs(at):
        return functional_call(layer, at, (csr, *x_and_y))

    _, tangent = jvp(outputs, (parameters,), (directions,))
    step = 1e-6
    difference = (
        outputs({k: v + step * directions[k] for k, v in parameters.items()})
        - outputs({k: v - step * directions[k] for k, v in parameters.items()})
    ) / (2 * step)
    torch.testing.assert_close(tangent, difference, atol=1e-7, rtol=1e-6)

    _, pull = vjp(outputs, parameters)
    cotangent = torch.randn_like(tangent)
    (gradients,) = pull(cotangent)
    paired = sum((gradients[k] * directions[k]).sum() for k in parameters)
    torch.testing.assert_close(paired, (cotangent * tangent).sum())


def test_meta_gradient_through_attention(csr, backend):
    """The virtual step of METHODS B.2: DGL's own edge softmax is silently wrong here."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(csr.n_edges, dtype=torch.float64, generator=generator)
    x = torch.randn(csr.n_src, 3, dtype=torch.float64, generator=generator)
    incoming = torch.zeros(csr.n_dst, csr.n_edges, dtype=torch.float64)
    incoming[csr.dst, torch.arange(csr.n_edges)] = 1

    def sparse(logits, x):
        return ops.weighted_sum(csr, ops.edge_softmax(csr, logits), x)

    def dense(logits, x):
        scores = logits.expand(csr.n_dst, -1).masked_fill(incoming == 0, -torch.inf)
        attention = scores[incoming.any(1)].softmax(1)
        return attention @ x[csr.indices]

    def meta_gradient(layer):
        leaves = [logits.clone().requires_grad_(), x.clone().requires_grad_()]
        first = torch.autograd.grad(layer(*leaves).square().sum(), leaves, create_graph=True)
        after = [leaf - 0.1 * step for leaf, step in zip(leaves, first, strict=True)]
        return torch.autograd.grad(layer(*after).tanh().sum(), leaves)

    torch.testing.assert_close(meta_gradient(sparse), meta_gradient(dense))


def test_only_asked_gradients_are_computed(csr, monkeypatch):
    targets = []
    combine = torch_backend.combine
    monkeypatch.setattr(
        torch_backend, "combine", lambda csr, to, *x: (targets.append(to), combine(csr, to, *x))[1]
    )
    x = torch.rand(csr.n_src, 3, requires_grad=True)
    ops.weighted_sum(csr, torch.rand(csr.n_edges), x).sum().backward()
    assert targets == ["dst", "src"]


def test_backward_stays_with_the_back_end_of_the_forward(csr, monkeypatch):
    x = torch.rand(csr.n_src, 3, requires_grad=True)
    with ops.use_backend("dgl"):
        result = ops.copy_sum(csr, x)
    calls = []
    move = dgl_backend.move
    monkeypatch.setattr(
        dgl_backend, "move", lambda *args: (calls.append(args[1:3]), move(*args))[1]
    )
    result.sum().backward()
    assert calls == [("dst", "src")]
