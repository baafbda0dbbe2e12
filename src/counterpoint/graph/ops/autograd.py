"""The kernels made differentiable: backward, backward of backward, and forward mode.

One Function a kernel, whose derivatives are made of the Functions themselves, so that every
order follows and neither back end knows of derivatives.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from torch import Tensor
from torch.autograd import Function

from counterpoint.graph.ops.csr import Csr
from counterpoint.graph.ops.kernels import Backend, End, kernels

_ENDS: tuple[End, ...] = ("edge", "src", "dst")


def move(csr: Csr, backend: Backend, origin: End, target: End, x: Tensor) -> Tensor:
    """Differentiable :meth:`counterpoint.graph.ops.kernels.Kernels.move`."""
    moved: Tensor = _Move.apply(csr, backend, origin, target, x)  # type: ignore[no-untyped-call]
    return moved


def combine(csr: Csr, backend: Backend, target: End, first: Tensor, second: Tensor) -> Tensor:
    """Differentiable :meth:`counterpoint.graph.ops.kernels.Kernels.combine`."""
    combined: Tensor = _Combine.apply(  # type: ignore[no-untyped-call]
        csr, backend, target, first, second
    )
    return combined


def edge_softmax(csr: Csr, backend: Backend, logits: Tensor) -> Tensor:
    """Differentiable :meth:`counterpoint.graph.ops.kernels.Kernels.edge_softmax`."""
    attention: Tensor = _EdgeSoftmax.apply(csr, backend, logits)  # type: ignore[no-untyped-call]
    return attention


class _Move(Function):
    """Linear: its adjoint is the move back."""

    @staticmethod
    def forward(csr: Csr, backend: Backend, origin: End, target: End, x: Tensor) -> Tensor:
        return kernels(backend, x.device).move(csr, origin, target, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.csr, ctx.backend, ctx.origin, ctx.target, _ = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        adjoint = move(ctx.csr, ctx.backend, ctx.target, ctx.origin, grad)
        return None, None, None, None, adjoint

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return move(ctx.csr, ctx.backend, ctx.origin, ctx.target, tangents[-1])


class _Combine(Function):
    """Two slots of the form ``sum over edges of w_e <x_src(e), y_dst(e)>``, trilinear in w, x, y.

    The result is the form's derivative by the third slot, the target; the derivative by one of
    the two others is the combine of the gradient and the value that remains.
    """

    @staticmethod
    def forward(csr: Csr, backend: Backend, target: End, first: Tensor, second: Tensor) -> Tensor:
        return kernels(backend, first.device).combine(csr, target, first, second)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.csr, ctx.backend, ctx.target, first, second = inputs
        ctx.set_materialize_grads(False)  # an absent tangent costs no kernel
        ctx.save_for_backward(first, second)
        ctx.save_for_forward(first, second)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, None, None, None, None
        ends = [end for end in _ENDS if end != ctx.target]
        values = dict(zip(ends, ctx.saved_tensors, strict=True)) | {ctx.target: grad}
        adjoints: list[Tensor | None] = [None, None]
        for slot, end in enumerate(ends):
            if ctx.needs_input_grad[3 + slot]:
                factors = [values[other] for other in _ENDS if other != end]
                adjoints[slot] = combine(ctx.csr, ctx.backend, end, *factors)
        return None, None, None, *adjoints

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        first, second = ctx.saved_tensors
        d_first, d_second = tangents[3:]
        terms = [
            combine(ctx.csr, ctx.backend, ctx.target, *factors)
            for factors in ((d_first, second), (first, d_second))
            if all(factor is not None for factor in factors)
        ]
        tangent: Tensor = reduce(Tensor.add, terms)
        return tangent


class _EdgeSoftmax(Function):
    """Its Jacobian ``diag(a) - a aᵀ`` on each destination's edges is symmetric."""

    @staticmethod
    def forward(csr: Csr, backend: Backend, logits: Tensor) -> Tensor:
        return kernels(backend, logits.device).edge_softmax(csr, logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.csr, ctx.backend, _ = inputs
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, _EdgeSoftmax._jacobian_product(ctx, grad)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return _EdgeSoftmax._jacobian_product(ctx, tangents[-1])

    @staticmethod
    def _jacobian_product(ctx: Any, direction: Tensor) -> Tensor:
        attention: Tensor = ctx.saved_tensors[0]
        part = attention * direction
        total = move(ctx.csr, ctx.backend, "edge", "dst", part)
        on_edges = move(ctx.csr, ctx.backend, "dst", "edge", total)
        return part.addcmul(attention, on_edges, value=-1)
