"""Every convolution against a dense matrix form, and what each must keep whatever it computes."""

from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from counterpoint.errors import UserError
from counterpoint.graph.views import Block
from counterpoint.nn.convolutions import GAT, GCN, GIN, HGN
from counterpoint.nn.encoders import CONVOLUTIONS

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # forward mode

H = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RELATIONS = 3
BLOCKS = {"whole": (6, 0), "bipartite": (4, 0), "sampled": (4, 2)}


def layer(name: str) -> torch.nn.Module:
    """A layer in float64, none of whose parameters is at a special value."""
    torch.manual_seed(0)
    made = CONVOLUTIONS[name](4, 6, RELATIONS).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return made


def adjacency(block: Block) -> Tensor:
    """Numbers of edges ``[relations, n_dst, n_src]``."""
    dense = torch.zeros(RELATIONS, block.csr.n_dst, block.csr.n_src, dtype=torch.float64)
    for src, dst, etype in zip(block.csr.indices, block.csr.dst, block.etype, strict=True):
        dense[etype, dst, src] += 1
    return dense


def dense_gcn(made: GCN, block: Block, h: Tensor) -> Tensor:
    """``D^-1/2 (A + I) D^-1/2 H W``, with rows of A scaled up to the true degree."""
    n_dst = block.csr.n_dst
    around = adjacency(block).sum(0)
    around = around * (block.degree[:n_dst] / around.sum(1).clamp(min=1))[:, None]
    around = around + torch.eye(n_dst, len(h))
    root = torch.diag((block.degree + 1.0).double() ** -0.5)
    return root[:n_dst, :n_dst] @ around @ root @ made.linear(h)


def dense_gin(made: GIN, block: Block, h: Tensor) -> Tensor:
    n_dst = block.csr.n_dst
    around = adjacency(block).sum(0)
    mean = around @ h / around.sum(1).clamp(min=1)[:, None]
    degree = block.degree[:n_dst].double()[:, None]
    return made.mlp((1 + made.epsilon) * h[:n_dst] + degree**0.5 * mean)


def dense_attention(made: GAT | HGN, block: Block, h: Tensor) -> Tensor:
    """Softmax over all relations and sources of a destination at once, for each head."""
    n_dst, exists = block.csr.n_dst, adjacency(block)
    reader = made.attention
    a_relation = getattr(reader, "a_relation", torch.zeros(RELATIONS, made.heads))
    scale = getattr(reader, "relation_scale", torch.ones(RELATIONS, made.heads))
    outputs = []
    for head, weight in enumerate(made.linear.weight.chunk(made.heads)):
        z = h @ weight.T
        logits = (z[:n_dst] @ reader.a_dst[head])[:, None] + z @ reader.a_src[head]
        logits = F.leaky_relu(logits + a_relation[:, head, None, None], 0.2)
        terms = exists * logits.exp()
        attention = terms / terms.sum((0, 2)).clamp(min=1e-300)[:, None]
        outputs.append((attention * scale[:, head, None, None]).sum(0) @ z)
    return torch.cat(outputs, 1) + reader.own(h[:n_dst])


ORACLES = {"gcn": dense_gcn, "gat": dense_attention, "gin": dense_gin, "hgn": dense_attention}


def test_every_convolution_has_an_oracle():
    assert set(ORACLES) == set(CONVOLUTIONS)


@pytest.mark.parametrize("shape", BLOCKS)
@pytest.mark.parametrize("name", ORACLES)
def test_equals_its_dense_form(make_block, name, shape):
    made, block = layer(name), make_block(*BLOCKS[shape])
    torch.testing.assert_close(
        made(block, H), ORACLES[name](made, block, H), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("name", ORACLES)
def test_order_of_edges_does_not_matter(make_block, edges, name):
    made = layer(name)
    again = make_block(4, 0, edges[::-1])
    torch.testing.assert_close(made(again, H), made(make_block(4), H), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_nodes_may_be_renumbered(make_block, edges, name):
    made, order = layer(name), torch.tensor([3, 0, 5, 1, 4, 2])
    place = torch.argsort(order).tolist()
    renumbered = [(place[src], place[dst], etype) for src, dst, etype in edges]
    again = made(make_block(6, 0, renumbered), H[order])
    torch.testing.assert_close(again, made(make_block(6), H)[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_without_edges_a_node_sees_itself_alone(make_block, name):
    made = layer(name)
    alone = made(make_block(6, 0, []), H)
    assert alone.isfinite().all()
    in_company = made(make_block(6), H)
    torch.testing.assert_close(alone[2], in_company[2], rtol=0, atol=1e-12)
    assert not torch.allclose(alone[0], in_company[0])


@pytest.mark.parametrize("name", ORACLES)
def test_gradients(make_block, checked_gradients, name):
    found = checked_gradients(layer(name), make_block(4, 1), H)
    assert all(gradient.any() for gradient in found.values())


@pytest.mark.parametrize("name", ORACLES)
def test_under_autocast(make_block, name):
    made, block = layer(name).float(), make_block(4)
    with torch.autocast("cpu", torch.bfloat16):
        rough = made(block, H.float())
    torch.testing.assert_close(rough.float(), made(block, H.float()), rtol=0.1, atol=0.15)


@pytest.mark.parametrize("name", ["gcn", "gin"])
def test_a_sampled_sum_is_right_on_average(make_block, name):
    """Over all equally likely choices of 2 of 4 neighbours, for the sums inside the layers."""
    made = layer(name)
    if name == "gin":
        made.mlp = torch.nn.Identity()
    whole = [(src, 0, 0) for src in (1, 2, 3, 4)]
    samples = []
    for chosen in combinations(whole, 2):
        block = make_block(1, 0, list(chosen))
        degree = torch.tensor([4, 0, 0, 0, 0, 0])
        samples.append(made(Block(block.csr, block.etype, degree, block.node_type), H))
    block = make_block(1, 0, whole)
    torch.testing.assert_close(torch.stack(samples).mean(0), made(block, H), rtol=0, atol=1e-12)


def test_hgn_tells_relations_apart(make_block, edges):
    made = layer("hgn")
    relabelled = [(src, dst, 2 - etype) for src, dst, etype in edges]
    assert not torch.allclose(made(make_block(4, 0, relabelled), H), made(make_block(4), H))


@pytest.mark.parametrize("kind", [GAT, HGN])
def test_width_must_hold_the_heads(kind):
    with pytest.raises(UserError, match="width 5: not a multiple of the 2 attention heads"):
        kind(4, 5, RELATIONS)
