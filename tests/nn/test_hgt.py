"""HGT against loops over edges, and what it must keep."""

import math

import pytest
import torch
from torch.nn import functional as F

from counterpoint.nn.hgt import HGT

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # forward mode

H = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RELATIONS = [(0, 0), (1, 0), (0, 1)]
BLOCKS = {"whole": (6, 0), "bipartite": (4, 0), "no edges": (6, 0)}


def layer():
    torch.manual_seed(0)
    made = HGT(4, 6, RELATIONS, 2).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return made


def looped(made, block, h):
    """Node by node, edge by edge, head by head."""
    types, width = block.node_type.tolist(), made.width
    edges = list(
        zip(block.csr.indices.tolist(), block.csr.dst.tolist(), block.etype.tolist(), strict=True)
    )
    outputs = []
    for t in range(block.csr.n_dst):
        heads = []
        for head in range(made.heads):
            part = slice(head * width, (head + 1) * width)
            logits, messages = [], []
            for s, dst, r in edges:
                if dst != t:
                    continue
                k = made.key.maps[types[s]](h[s])[part] @ made.attend[r, head]
                q = made.query.maps[types[t]](h[t])[part]
                logits.append(made.prior[r, head] * (k @ q) / math.sqrt(width))
                messages.append(made.value.maps[types[s]](h[s])[part] @ made.message[r, head])
            if logits:
                heads.append(torch.stack(logits).softmax(0) @ torch.stack(messages))
            else:
                heads.append(torch.zeros(width, dtype=h.dtype))
        outputs.append(made.out.maps[types[t]](F.gelu(torch.cat(heads))))
    return torch.stack(outputs)


@pytest.mark.parametrize("shape", BLOCKS)
def test_equals_loops(make_block, shape):
    made = layer()
    block = make_block(*BLOCKS[shape], [] if shape == "no edges" else make_block.__defaults__[-1])
    torch.testing.assert_close(made(block, H), looped(made, block, H), rtol=1e-10, atol=1e-10)


def test_order_of_edges_does_not_matter(make_block, edges):
    made = layer()
    again = make_block(4, 0, edges[::-1])
    torch.testing.assert_close(made(again, H), made(make_block(4), H), rtol=0, atol=1e-12)


def test_gradients(make_block, checked_gradients):
    checked_gradients(layer(), make_block(4, 1), H)


def test_under_autocast(make_block):
    made, block = layer().float(), make_block(4)
    with torch.autocast("cpu", torch.bfloat16):
        rough = made(block, H.float())
    torch.testing.assert_close(rough.float(), made(block, H.float()), rtol=0.1, atol=0.2)
