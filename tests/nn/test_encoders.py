import pytest
import torch
from torch.nn import functional as F

from counterpoint.nn.encoders import ENCODERS, EncoderSettings, GraphEncoder, make_encoder
from counterpoint.nn.field_encoders import BRANCHES

SETTINGS = EncoderSettings(width=4, layers=2, dropout=0.5)


WITHOUT_A_GRAPH = ("mlp", "fields", *BRANCHES)


@pytest.fixture(params=ENCODERS)
def encoder(request, market_graph):
    torch.manual_seed(0)
    return make_encoder(request.param, market_graph.meta, SETTINGS)


def test_a_row_a_node(encoder, market_graph):
    h = encoder.eval()(market_graph.view(encoder.depth))
    assert h.shape == (market_graph.meta.n_nodes, encoder.width)
    assert h.isfinite().all()


def test_depth_is_the_number_of_blocks_that_it_reads(encoder, request):
    assert encoder.depth == (
        0 if request.node.callspec.params["encoder"] in WITHOUT_A_GRAPH else SETTINGS.layers
    )


def test_dropout_in_training_alone(encoder, market_graph):
    view = market_graph.view(encoder.depth)
    assert not torch.equal(encoder(view), encoder(view))
    encoder.eval()
    assert torch.equal(encoder(view), encoder(view))


def test_same_seed_same_training_output(encoder, market_graph):
    view = market_graph.view(encoder.depth)
    outputs = []
    for _ in range(2):
        torch.manual_seed(1)
        outputs.append(encoder(view))
    assert torch.equal(*outputs)


def test_messages_travel_as_far_as_there_are_layers(market_graph):
    encoder = GraphEncoder("gcn", market_graph.meta, SETTINGS).eval()
    rows = market_graph.view(0).inputs["user"].dense.detach().clone().requires_grad_()
    view = market_graph.view(2)
    user = view.inputs["user"]
    inputs = view.inputs | {"user": type(user)(user.ids, rows, user.codes, user.bags)}
    h = encoder(type(view)(inputs, None, view.node_type, view.blocks))
    target = 5
    (gradient,) = torch.autograd.grad(h[target].sum(), rows)
    csr = market_graph.csr
    one_hop = set(csr.indices[csr.dst == target].tolist()) | {target}
    two_hops = set(csr.indices[torch.isin(csr.dst, torch.tensor(list(one_hop)))].tolist()) | one_hop
    reached = set(torch.nonzero(gradient.abs().sum(1)).flatten().tolist())
    assert reached == {node for node in two_hops if node < len(rows)}


def test_residual_layers(market_graph):
    torch.manual_seed(0)
    encoder = GraphEncoder("mlp", market_graph.meta, SETTINGS).eval()
    view = market_graph.view(0)
    h0 = encoder.input(view)
    h1 = h0 + F.relu(encoder.layers[0](h0))
    torch.testing.assert_close(encoder(view), h1 + encoder.layers[1](h1))


def test_no_layers_leave_the_inputs(market_graph):
    settings = EncoderSettings(width=4, layers=0, dropout=0)
    for kind in set(ENCODERS) - set(BRANCHES):
        encoder = make_encoder(kind, market_graph.meta, settings)
        view = market_graph.view(encoder.depth)
        found, expected = encoder(view), encoder.input(view)
        assert torch.equal(found[:, : expected.shape[1]], expected)


def test_under_autocast(encoder, market_graph):
    encoder.eval()
    view = market_graph.view(encoder.depth)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(view)
    exact = encoder(view)
    assert (rough - exact).norm() < 0.05 * exact.norm()
