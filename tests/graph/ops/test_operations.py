import pytest
import torch

from counterpoint.graph import ops
from counterpoint.graph.ops import Csr


@pytest.mark.parametrize("name", ["bipartite", "edgeless", "sourceless"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_a_plain_loop(case, backend, make_graph, make_inputs, name, dtype):
    csr = make_graph(name)
    inputs = make_inputs(csr)
    result = case.operation(csr, *[x.to(dtype) for x in inputs])
    assert result.dtype == dtype
    atol = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(
        result.double(), case.loop(csr, *inputs), atol=atol, rtol=atol, check_dtype=False
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_equal_those_of_a_plain_loop(case, backend, csr, make_inputs, dtype):
    inputs = [x.requires_grad_() for x in make_inputs(csr)]
    expected = case.loop(csr, *inputs)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    result = case.operation(csr, *[x.to(dtype) for x in inputs])
    torch.testing.assert_close(
        torch.autograd.grad(result, inputs, direction.to(dtype)),
        torch.autograd.grad(expected, inputs, direction.double()),
        atol=1e-6,
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", ["edgeless", "sourceless"])
def test_gradients_without_edges_are_zero(case, backend, make_graph, make_inputs, name):
    csr = make_graph(name)
    inputs = [x.requires_grad_() for x in make_inputs(csr)]
    gradients = torch.autograd.grad(case.operation(csr, *inputs).sum(), inputs)
    for x, gradient in zip(inputs, gradients, strict=True):
        assert torch.equal(gradient, torch.zeros_like(x))


def test_order_of_edges_does_not_matter(case, backend, csr, make_inputs):
    inputs = make_inputs(csr)
    shuffle = torch.randperm(csr.n_edges, generator=torch.Generator().manual_seed(2))
    src, dst = csr.indices[shuffle], csr.dst[shuffle]
    shuffled, order = Csr.from_edges(src, dst, csr.n_src, csr.n_dst)
    back = shuffle[order]
    on_edges = [shape[0] == "edge" for shape in case.shapes]
    again = case.operation(
        shuffled, *[x[back] if edge else x for x, edge in zip(inputs, on_edges, strict=True)]
    )
    result = case.operation(csr, *inputs)
    if len(result) == csr.n_edges:
        result = result[back]
    torch.testing.assert_close(again, result, atol=1e-14, rtol=0)


def test_strided_and_expanded_inputs(case, backend, csr, make_inputs):
    inputs = make_inputs(csr)
    result = case.operation(csr, *inputs)
    strided = [torch.stack([x, x + 1], -1)[..., 0] for x in inputs]
    assert not any(x.is_contiguous() for x in strided)
    torch.testing.assert_close(case.operation(csr, *strided), result)
    columns = [torch.ones((), dtype=x.dtype).expand(x.shape) for x in inputs]
    torch.testing.assert_close(case.operation(csr, *columns), case.loop(csr, *columns))


def test_autocast_computes_in_float32(case, backend, csr, make_inputs):
    inputs = [x.bfloat16().requires_grad_() for x in make_inputs(csr)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = case.operation(csr, *inputs)
        (result * torch.rand(result.shape)).sum().backward()
    assert result.dtype == torch.float32
    torch.testing.assert_close(
        result, case.operation(csr, *[x.float() for x in inputs]), atol=1e-6, rtol=1e-6
    )
    assert all(x.grad.isfinite().all() for x in inputs)


def test_float64_beside_float32_gives_float64(backend, csr):
    w = torch.rand(csr.n_edges)
    x = torch.rand(csr.n_src, 3, dtype=torch.float64)
    assert ops.weighted_sum(csr, w, x).dtype == torch.float64


def test_edge_softmax_is_stable_and_sums_to_one(backend, csr):
    logits = torch.randn(csr.n_edges, 2) * 1e4
    attention = ops.edge_softmax(csr, logits)
    total = ops.weighted_sum(csr, attention, torch.ones(csr.n_src, 2, 1)).squeeze(-1)
    has_edges = csr.indptr.diff() > 0
    torch.testing.assert_close(total[has_edges], torch.ones_like(total[has_edges]))
    assert torch.equal(total[~has_edges], torch.zeros_like(total[~has_edges]))


def test_max_of_negative_values_and_ties(backend, csr):
    x = torch.full((csr.n_src, 1), -2.0, requires_grad=True)
    result = ops.max(csr, x)
    assert result.squeeze(1).tolist() == [-2, 0, -2, -2, 0]
    result.sum().backward()
    # destinations 0, 2 and 3 hear from sources {0, 2, 4}, {0, 1, 4} and {0, 0, 2, 5}
    assert x.grad.squeeze(1).tolist() == [3, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("operation", "inputs", "message"),
    [
        (ops.copy_sum, [torch.zeros(6, 3)], r"expected 7 rows, one per src.*\[6, 3\]"),
        (ops.gather_dst, [torch.zeros(7, 3)], "expected 5 rows, one per dst"),
        (ops.edge_softmax, [torch.zeros(9)], "expected 10 rows, one per edge"),
        (ops.max, [torch.zeros(6, 3)], "expected 7 rows, one per src"),
        (ops.weighted_sum, [torch.zeros(10, 2), torch.zeros(7, 3)], "differ in heads"),
        (ops.edge_dot, [torch.zeros(5, 3), torch.zeros(7, 4)], "differ in width"),
    ],
)
def test_refuses_what_does_not_fit(csr, operation, inputs, message):
    with pytest.raises(ValueError, match=message):
        operation(csr, *inputs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_agrees(case, csr, make_inputs):
    inputs = [x.requires_grad_() for x in make_inputs(csr)]
    on_gpu = [x.detach().cuda().requires_grad_() for x in inputs]
    result, gpu_result = case.operation(csr, *inputs), case.operation(csr.to("cuda"), *on_gpu)
    torch.testing.assert_close(gpu_result.cpu(), result)
    torch.testing.assert_close(
        [x.cpu() for x in torch.autograd.grad(gpu_result.square().sum(), on_gpu)],
        list(torch.autograd.grad(result.square().sum(), inputs)),
    )
