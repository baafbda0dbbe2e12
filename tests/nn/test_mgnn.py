import pytest
import torch
from torch.nn import functional as F

from counterpoint.errors import UserError
from counterpoint.graph.sampling import NeighbourSampler
from counterpoint.graph.store import RelationMeta
from counterpoint.nn.encoder import EncoderSettings, MGNNSettings
from counterpoint.nn.mgnn import MGNN, Cell, Channel, LayersByLstm

H = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
UPDATES = ("lstm", "geniepath", "jk_lstm")


def channel(relations=(0, 1, 2), layers=2, **own):
    torch.manual_seed(1)
    return Channel(relations, layers, 4, 0.0, MGNNSettings(**own)).double().eval()


def neighbours(edges, relations, node):
    """Without repetition: 4 -> 1 is there in two relations."""
    return sorted({src for src, dst, relation in edges if dst == node and relation in relations})


def message_loop(message, edges, relations, h, attention):
    """Equations 1 and 2, a node at a time."""
    rows = []
    for a in range(6):
        around = neighbours(edges, relations, a)
        if not around:
            rows.append(torch.zeros(4, dtype=torch.float64))
            continue
        part = message.attention
        if attention == "scaled_dot":
            logits = [(part.query(h[a]) @ part.key(h[b])) / 2 for b in around]
        else:
            logits = [
                part.vector(torch.tanh(part.own(h[a]) + part.other(h[b]))).squeeze() for b in around
            ]
        weights = torch.stack(logits).softmax(0)
        total = sum(weight * h[b] for weight, b in zip(weights, around, strict=True))
        rows.append(F.leaky_relu(message.matrix(total), 0.1))
    return torch.stack(rows)


@pytest.mark.parametrize("relations", [(0, 1, 2), (0, 2)])
@pytest.mark.parametrize("attention", ["scaled_dot", "additive"])
def test_layers_equal_a_loop_over_nodes(make_block, edges, attention, relations):
    made = channel(relations, attention=attention)
    h, c = H, torch.zeros_like(H)
    for message, cell in zip(made.messages, made.cells, strict=True):
        m = message_loop(message, edges, relations, h, attention)
        i, g, o, f = (torch.cat([m, h], 1) @ cell.gates.weight.T + cell.gates.bias).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    found = made((make_block(6),) * 2, H)
    torch.testing.assert_close(found, h, rtol=0, atol=1e-12)


def test_geniepath_gates_hear_the_message_alone(make_block, edges):
    made = channel(layers=1, update="geniepath")
    m = message_loop(made.messages[0], edges, (0, 1, 2), H, "scaled_dot")
    expected, _ = made.cells[0](m, torch.zeros_like(H))
    torch.testing.assert_close(made((make_block(6),), H), expected)
    assert made.cells[0].gates.in_features == 4


def test_the_cell_is_torchs_with_its_gates_in_another_order():
    cell = Cell(4 + 4, 4).double()
    assert (cell.gates.bias[12:] == 1).all()
    oracle = torch.nn.LSTMCell(4, 4).double()
    i, g, o, f = cell.gates.weight.chunk(4)
    with torch.no_grad():
        weight = torch.cat([i, f, g, o])
        oracle.weight_ih.copy_(weight[:, :4])
        oracle.weight_hh.copy_(weight[:, 4:])
        i, g, o, f = cell.gates.bias.chunk(4)
        oracle.bias_ih.copy_(torch.cat([i, f, g, o]))
        oracle.bias_hh.zero_()
    message, state, c = H, H.flip(0), H.flip(1)
    expected = oracle(message, (state, c))
    for found, right in zip(cell(torch.cat([message, state], 1), c), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=1e-12)


def test_layers_are_weighed_by_a_bidirectional_lstm():
    jumps, layers = LayersByLstm(4).double(), [H, H.flip(0), H.flip(1)]
    oracle = torch.nn.LSTM(4, 4, bidirectional=True, batch_first=True).double()
    with torch.no_grad():
        for cell, suffix in ((jumps.up, "l0"), (jumps.down, "l0_reverse")):
            order = [0, 3, 1, 2]  # torch's gates: input, forget, candidate, output
            weight = torch.cat([cell.gates.weight.chunk(4)[k] for k in order])
            bias = torch.cat([cell.gates.bias.chunk(4)[k] for k in order])
            getattr(oracle, f"weight_ih_{suffix}").copy_(weight[:, :4])
            getattr(oracle, f"weight_hh_{suffix}").copy_(weight[:, 4:])
            getattr(oracle, f"bias_ih_{suffix}").copy_(bias)
            getattr(oracle, f"bias_hh_{suffix}").zero_()
    stacked = torch.stack(layers, dim=1)
    weights = jumps.score(oracle(stacked)[0]).softmax(1)
    torch.testing.assert_close(jumps(layers), (weights * stacked).sum(1), rtol=0, atol=1e-12)


def test_jumps_are_over_plain_messages(make_block, edges):
    made = channel(update="jk_lstm")
    states = [H]
    for message in made.messages:
        states.append(message_loop(message, edges, (0, 1, 2), states[-1], "scaled_dot"))
    torch.testing.assert_close(made((make_block(6),) * 2, H), made.jumps(states))
    assert not len(made.cells)


@pytest.mark.parametrize("update", UPDATES)
def test_the_state_of_a_node_without_neighbours_decays(make_block, update):
    found = channel(update=update)((make_block(6, edges=[]),) * 2, H)
    assert found.isfinite().all()
    if update == "geniepath":  # gates of nothing: the same whatever the node is
        torch.testing.assert_close(found, found[:1].expand(6, -1))


def test_tied_layers_have_one_message_matrix():
    tied, own = channel(tied=True), channel()
    assert tied.messages[0].matrix is tied.messages[1].matrix
    assert own.messages[0].matrix is not own.messages[1].matrix


@pytest.mark.parametrize("attention", ["scaled_dot", "additive"])
@pytest.mark.parametrize("update", UPDATES)
def test_gradients(make_block, attention, update):
    made, blocks = channel(attention=attention, update=update), (make_block(6), make_block(3))
    assert torch.autograd.gradcheck(lambda h: made(blocks, h), H.clone().requires_grad_())


SETTINGS = EncoderSettings(width=4, layers=2, dropout=0.0)


def test_the_encoder_puts_features_and_channels_side_by_side(similar_graph):
    torch.manual_seed(0)
    encoder, view = MGNN(similar_graph.meta, SETTINGS), similar_graph.view(2)
    found, x = encoder(view).view(-1, 3, 4), encoder.input(view)
    assert torch.equal(found[:, 0], x)
    bipartite, users, items = (layers(view.blocks, x) for layers in encoder.layers)
    assert torch.equal(found[:, 1], bipartite)
    names = [similar_graph.meta.node_types[k].name for k in view.node_type.tolist()]
    left = {"user": iter(users), "item": iter(items)}
    for node, name in enumerate(names):
        expected = next(left[name]) if name in left else x[node]
        assert torch.equal(found[node, 2], expected)
    assert all(next(rest, None) is None for rest in left.values())


@pytest.mark.parametrize("update", UPDATES)
def test_a_channel_among_nodes_of_a_type_is_the_channel_of_all_nodes(similar_graph, update):
    """On the whole graph and on sampled blocks, whose destinations are the first sources."""
    relations = similar_graph.meta.relations
    place = {node_type.name: k for k, node_type in enumerate(similar_graph.meta.node_types)}
    (number,) = (k for k, one in enumerate(relations) if one.similarity and one.src == "user")
    every, among = channel((number,), update=update), channel((number,), update=update)
    among.among = place["user"]
    whole = similar_graph.view(2)
    nodes = torch.arange(0, len(whole.node_type), 3)
    sampled = NeighbourSampler(similar_graph, (3, 3)).view(nodes, 0)
    for view in (whole, sampled):
        h = torch.randn(len(view.blocks[0].node_type), 4, dtype=torch.float64)
        last = view.blocks[-1]
        users = last.node_type[: last.csr.n_dst] == place["user"]
        assert 0 < int(users.sum()) < len(users)
        assert last.etype.eq(number).any()
        torch.testing.assert_close(among(view.blocks, h), every(view.blocks, h)[users])


def test_a_view_on_a_device_is_the_same_view(similar_graph):
    encoder = MGNN(similar_graph.meta, SETTINGS)
    view = similar_graph.view(2)
    assert torch.equal(encoder(view.to(torch.device("cpu"))), encoder(view))


def test_channels_do_not_hear_each_other(similar_graph):
    torch.manual_seed(0)
    encoder = MGNN(similar_graph.meta, SETTINGS)
    relations = similar_graph.meta.relations
    similar = torch.tensor([relation.similarity for relation in relations])
    for keep, part in ((~similar, 1), (similar, 2)):
        edges = keep[similar_graph.etype]
        whole = encoder(similar_graph.view(2)).view(-1, 3, 4)
        without = encoder(similar_graph.view(2, edges)).view(-1, 3, 4)
        assert torch.equal(whole[:, part], without[:, part])
        assert not torch.equal(whole[:, 3 - part], without[:, 3 - part])


def test_two_similarities_of_a_type_are_refused(similar_graph):
    meta = similar_graph.meta
    twice = RelationMeta(name="x", src="user", dst="user", edges=0, derived=True, similarity=True)
    meta = meta.model_copy(update={"relations": (*meta.relations, twice)})
    with pytest.raises(UserError, match="several relations of user; leave one a node type"):
        MGNN(meta, SETTINGS)
