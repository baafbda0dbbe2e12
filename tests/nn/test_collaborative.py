import pytest
import torch
from torch.nn import functional as F

from counterpoint.nn.collaborative import NGCF, LightGCN, NGCFLayer, propagated
from counterpoint.nn.encoder import EncoderSettings

H = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SETTINGS = EncoderSettings(width=4, layers=2, dropout=0.0)


def dense(graph):
    """``D^-1/2 A D^-1/2`` with rows for destinations, from the edges one by one."""
    n = graph.meta.n_nodes
    adjacency = torch.zeros(n, n)
    for src, dst in zip(graph.csr.indices.tolist(), graph.csr.dst.tolist(), strict=True):
        adjacency[dst, src] += 1
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    return scale[:, None] * adjacency * scale


def test_propagation_is_that_of_the_normalised_matrix(market_graph):
    h = torch.randn(market_graph.meta.n_nodes, 3)
    found = propagated(market_graph.view(1).blocks[0], h)
    torch.testing.assert_close(found, dense(market_graph) @ h)
    lonely = market_graph.csr.indptr.diff() == 0
    assert lonely.any()
    assert not found[lonely].any()


def test_a_sampled_sum_is_scaled_to_the_true_degree(make_block):
    plain, sampled = make_block(3), make_block(3, extra_degree=2)
    degree, inside = sampled.degree, sampled.csr.indptr.diff()
    scale = degree.double().rsqrt()
    for node in range(3):
        sources = plain.csr.indices[plain.csr.dst == node]
        total = sum(H[s] * scale[s] for s in sources.tolist())
        expected = total * scale[node] * degree[node] / inside[node] if len(sources) else 0 * H[0]
        torch.testing.assert_close(propagated(sampled, H)[node], expected)


def test_ngcf_equals_its_equation(market_graph):
    torch.manual_seed(0)
    encoder, matrix = NGCF(market_graph.meta, SETTINGS), dense(market_graph)
    view = market_graph.view(2)
    states = [encoder.input(view)]
    for layer in encoder.layers:
        e = states[-1]
        own = (matrix + torch.eye(len(matrix))) @ e @ layer.own.weight.T
        states.append(F.leaky_relu(own + (matrix @ e * e) @ layer.product.weight.T, 0.1))
    torch.testing.assert_close(encoder(view), torch.cat(states, 1))
    assert encoder.width == 12


def test_lightgcn_is_the_mean_of_powers(market_graph):
    encoder, matrix = LightGCN(market_graph.meta, SETTINGS), dense(market_graph)
    view = market_graph.view(2)
    e = encoder.input(view)
    torch.testing.assert_close(encoder(view), (e + matrix @ e + matrix @ matrix @ e) / 3)
    assert not [name for name, _ in encoder.named_parameters() if not name.startswith("input")]


@pytest.mark.parametrize("n_dst", [3, 6])
def test_gradients(make_block, n_dst):
    layer, block = NGCFLayer(4).double(), make_block(n_dst)
    assert torch.autograd.gradcheck(lambda h: layer(block, h), H.clone().requires_grad_())
