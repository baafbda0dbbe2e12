"""A perceptron on every edge, its first layer split between the ends: what gates per edge need.

Of an edge's hidden layer nothing is kept: it is made in chunks that fit a cache, and made again in
the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from counterpoint.graph.ops.csr import Csr
from counterpoint.graph.ops.operations import copy_edges, floating, gather_dst, gather_src

CHUNK = 1 << 12  # edges: with 64 hidden units 1 MiB

Part = tuple[Csr, Tensor]


def edge_perceptron(
    parts: Sequence[Part], at_dst: Sequence[Tensor], at_src: Sequence[Tensor], out: Sequence[Tensor]
) -> Tensor:
    """``relu(at_dst_v + at_src_u) out`` of each edge u -> v, by relation.

    Args:
        parts: for each relation its adjacency, and the places ``[E_r]`` of its edges in the
            result; together they cover 0 to E - 1 once.
        at_dst: for each relation ``[n_dst, k]``.
        at_src: for each relation ``[n_src, k]``.
        out: for each relation ``[k, j]``.

    Returns:
        ``[E, j]``, stored by column: softmax and products with other values of edges are then
        several times as fast as on rows of a few.
    """
    tensors = floating(*(x for three in zip(at_dst, at_src, out, strict=True) for x in three))
    with torch.autocast(tensors[0].device.type, enabled=False):
        found: Tensor = _EdgePerceptron.apply(  # type: ignore[no-untyped-call]
            tuple(parts), *tensors
        )
    return found


class _EdgePerceptron(Function):
    @staticmethod
    def forward(parts: tuple[Part, ...], *tensors: Tensor) -> Tensor:
        n_edges = sum(len(places) for _, places in parts)
        found = tensors[0].new_empty(tensors[2].shape[1], n_edges)
        for (csr, places), a, b, w in _threes(parts, tensors):
            columns = w.T.contiguous()
            for chunk in _chunks(csr):
                found[:, places[chunk]] = columns @ _hidden(csr, chunk, a, b).relu_().T
        return found.T

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.parts = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parts, saved = ctx.parts, ctx.saved_tensors
        room = None
        if not torch.is_grad_enabled():  # one for all relations: fresh memory costs as the rest
            room = grad.new_empty(max(csr.n_edges for csr, _ in parts), saved[0].shape[1])
        found: list[Tensor | None] = [None]
        for (csr, places), a, b, w in _threes(parts, saved):
            part = grad.T.index_select(1, places)
            if room is None:  # a graph of the backward pass itself is wanted
                to_edges, of_out = _part_again(csr, a, b, w, part.T)
            else:
                to_edges, of_out = _part_in_chunks(csr, a, b, w, part, room[: csr.n_edges])
            found += [copy_edges(csr, "dst", to_edges), copy_edges(csr, "src", to_edges), of_out]
        return tuple(found)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        found = []
        saved = ctx.saved_tensors
        for number, ((csr, _places), a, b, w) in enumerate(_threes(ctx.parts, saved)):
            of_a, of_b, of_w = tangents[3 * number : 3 * number + 3]
            hidden = (gather_dst(csr, a) + gather_src(csr, b)).relu()
            moved = torch.zeros_like(hidden)
            if of_a is not None:
                moved = moved + gather_dst(csr, of_a)
            if of_b is not None:
                moved = moved + gather_src(csr, of_b)
            tangent = ((hidden > 0) * moved) @ w
            found.append(tangent if of_w is None else tangent + hidden @ of_w)
        places = torch.cat([places for _, places in ctx.parts])
        return torch.cat(found).T.index_select(1, torch.argsort(places)).T  # stored as the primal


def _threes(
    parts: tuple[Part, ...], tensors: Sequence[Tensor]
) -> Iterator[tuple[Part, Tensor, Tensor, Tensor]]:
    return zip(parts, tensors[::3], tensors[1::3], tensors[2::3], strict=True)


def _chunks(csr: Csr) -> Iterator[slice]:
    for start in range(0, csr.n_edges, CHUNK):
        yield slice(start, min(start + CHUNK, csr.n_edges))


def _hidden(csr: Csr, chunk: slice, a: Tensor, b: Tensor) -> Tensor:
    """Before the ReLU ``[chunk, k]``."""
    return a.index_select(0, csr.dst[chunk]).add_(b.index_select(0, csr.indices[chunk]))


def _part_in_chunks(
    csr: Csr, a: Tensor, b: Tensor, w: Tensor, grad: Tensor, room: Tensor
) -> tuple[Tensor, Tensor]:
    """From ``[j, E_r]`` the gradients before the ReLU, written into ``room [E_r, k]``, and of w."""
    of_out = torch.zeros_like(w.T, memory_format=torch.contiguous_format)
    for chunk in _chunks(csr):
        hidden = _hidden(csr, chunk, a, b).relu_()
        of_out.addmm_(grad[:, chunk], hidden)
        onto = torch.mm(grad[:, chunk].T, w.T, out=room[chunk])
        torch.ops.aten.threshold_backward(onto, hidden, 0, grad_input=onto)
    return room, of_out.T


def _part_again(csr: Csr, a: Tensor, b: Tensor, w: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The same, differentiable; grad ``[E_r, j]``."""
    hidden = (gather_dst(csr, a) + gather_src(csr, b)).relu()
    return (grad @ w.T) * (hidden > 0), hidden.T @ grad
