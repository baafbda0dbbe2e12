"""InLINE's layer against loops over edges, and what it must keep."""

import pytest
import torch
from torch.nn import functional as F

from counterpoint.graph.ops import edge_softmax
from counterpoint.nn.convolutions import GAT, HGN
from counterpoint.nn.inline import InlineLayer, StructureGate

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # forward mode

# relations of edges whose heads are of type 0, 0 and 1; ids of one head type are not contiguous
TYPED = [(1, 0, 2), (4, 0, 2), (5, 0, 0), (2, 4, 0), (0, 2, 1), (5, 3, 3), (1, 5, 1), (3, 1, 0)]
RELATIONS, TYPES, WIDTH = 4, 2, 4
CGC = [(0, 2), (1, 2), (0, 1, 2)]
H = torch.randn(6, 3, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BLOCKS = {"whole": (6, 0), "bipartite": (4, 0), "no edges": (6, 0)}


def layer(seen=CGC, experts=3, *, spread=0.7, **changed):
    torch.manual_seed(0)
    options = {"attends_relations": True, "gates_relations": True, "gate_width": 3} | changed
    made = InlineLayer(WIDTH, experts, seen, RELATIONS, TYPES, **options).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    return made


def typed_block(make_block, shape="whole", edges=TYPED):
    return make_block(*BLOCKS[shape], [] if shape == "no edges" else edges)


def gate_of(gate: StructureGate, h, types, edge):
    """``softmax(ReLU([x_v || x_u] W_1 + b) W_2)`` of one edge, the row of its relation."""
    u, v, relation = edge
    head = types[v]
    first = torch.cat([gate.at_dst[head], gate.at_src[head]])
    hidden = (torch.cat([h[v], h[u]]) @ first + gate.bias[head]).relu()
    return (hidden @ gate.out[relation if gate.by_relation else head]).softmax(0)


def looped(made, block, states):
    """Block by block, node by node, head by head; the message of every edge is made."""
    types = block.node_type.tolist()
    edges = list(
        zip(block.csr.indices.tolist(), block.csr.dst.tolist(), block.etype.tolist(), strict=True)
    )
    outputs = []
    for number, seen in enumerate(made.seen):
        context = number if made.context is None else made.context
        read, gate, h = made.attention[number], made.gates[number], states[:, context]
        around = made.attention[context]  # whose relations and whose own terms count
        rows = []
        for v in range(block.csr.n_dst):
            incoming = [edge for edge in edges if edge[1] == v]
            heads = []
            for head in range(2):
                part = slice(head * WIDTH // 2, (head + 1) * WIDTH // 2)
                logits, messages = [], []
                for u, _, relation in incoming:
                    weights = gate_of(gate, h, types, (u, v, relation))
                    projected = [made.experts[k](states[u, k])[part] for k in seen]
                    message = sum(g * y for g, y in zip(weights, projected, strict=True))
                    own = made.experts[context](h[v])[part]
                    logit = read.a_dst[head] @ own + read.a_src[head] @ message
                    if around.by_relation:
                        logit = logit + around.a_relation[relation, head]
                    logits.append(F.leaky_relu(logit, 0.2))
                    scale = around.relation_scale[relation, head] if around.by_relation else 1.0
                    messages.append(scale * message)
                empty = torch.zeros(WIDTH // 2, dtype=h.dtype)
                weights = torch.stack(logits).softmax(0) if logits else None
                heads.append(empty if weights is None else weights @ torch.stack(messages))
            rows.append(torch.cat(heads) + around.own(h[v]))
        outputs.append(torch.stack(rows))
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("shape", BLOCKS)
@pytest.mark.parametrize("gates_relations", [True, False])
@pytest.mark.parametrize("attends_relations", [True, False])
def test_equals_loops(make_block, backend, shape, gates_relations, attends_relations):
    made = layer(gates_relations=gates_relations, attends_relations=attends_relations)
    block = typed_block(make_block, shape)
    torch.testing.assert_close(made(block, H), looped(made, block, H), rtol=0, atol=1e-10)


@pytest.mark.parametrize("seen", [CGC, CGC[:2]], ids=["all blocks", "last layer"])
def test_with_the_shared_blocks_context_equals_loops(make_block, backend, seen):
    made, block = layer(seen, context=2), typed_block(make_block)
    found = made(block, H)
    torch.testing.assert_close(found, looped(made, block, H), rtol=0, atol=1e-10)
    made.context = None
    assert not torch.allclose(made(block, H)[:, :2], found[:, :2])


def test_dropout_on_logits_sets_some_to_zero_in_training_alone(make_block):
    block = typed_block(make_block)
    plain, dropping = layer(), layer(logit_dropout=0.5)
    torch.testing.assert_close(dropping.eval()(block, H), plain(block, H), rtol=0, atol=0)
    attention, said = dropping.attention[0].train(), torch.zeros(len(TYPED), 2, dtype=H.dtype)
    own = H[:, 0].view(6, 2, -1)
    logits = F.leaky_relu((own * attention.a_dst).sum(-1)[block.csr.dst], 0.2)
    attention.a_relation.data.zero_()
    attention.relation_scale.data.fill_(1.0)
    torch.manual_seed(3)
    found = attention.weights(block, own, said)
    torch.manual_seed(3)
    kept = F.dropout(logits, 0.5)  # 0, or doubled
    assert 0 < int((kept == 0).sum()) < kept.numel()
    torch.testing.assert_close(found, edge_softmax(block.csr, kept), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seen", [[(0, 2), (1, 2)], [(0, 1, 2), (0, 1, 2), (0, 1, 2)]])
def test_equals_loops_at_the_last_layer_and_with_all_experts_seen(make_block, backend, seen):
    made, block = layer(seen), typed_block(make_block)
    torch.testing.assert_close(made(block, H), looped(made, block, H), rtol=0, atol=1e-10)


def test_gates_sum_to_one_and_start_uniform(make_block):
    block = typed_block(make_block)
    gates = layer().gates[2](block, H[:, 2])
    torch.testing.assert_close(gates.sum(1), torch.ones(len(TYPED), dtype=torch.float64))
    assert gates.std() > 0.01
    fresh = StructureGate(WIDTH, 3, 3, RELATIONS, TYPES, by_relation=True).double()
    torch.testing.assert_close(fresh(block, H[:, 0]), torch.full_like(gates, 1 / 3))


@pytest.mark.parametrize("kind", [GAT, HGN])
def test_tied_experts_and_uniform_gates_make_one_convolution(make_block, kind):
    made = layer(attends_relations=kind is HGN)
    convolution = kind(WIDTH, WIDTH, RELATIONS).double()
    with torch.no_grad():
        for gate in made.gates:
            gate.out.zero_()
        for expert in made.experts:
            expert.weight.copy_(convolution.linear.weight)
        for attention in made.attention:
            attention.load_state_dict(convolution.attention.state_dict())
    block, states = typed_block(make_block), H[:, :1].expand(-1, 3, -1)
    outputs, expected = made(block, states), convolution(block, H[:, 0])
    for place in range(3):
        torch.testing.assert_close(outputs[:, place], expected, rtol=0, atol=1e-12)


def test_one_task_without_shared_block_is_a_convolution(make_block):
    made, convolution = layer([(0,)], 1), HGN(WIDTH, WIDTH, RELATIONS).double()
    made.experts[0].load_state_dict(convolution.linear.state_dict())
    made.attention[0].load_state_dict(convolution.attention.state_dict())
    block = typed_block(make_block)
    found = made(block, H[:, :1])[:, 0]
    torch.testing.assert_close(found, convolution(block, H[:, 0]), rtol=0, atol=1e-12)


def test_gates_open_for_their_own_task_alone_keep_other_experts_from_it(make_block):
    made, block = layer([(0, 1), (1, 0)], 2), typed_block(make_block)
    with torch.no_grad():
        for gate in made.gates:  # every hidden unit is on; the first expert seen gets it all
            gate.bias.fill_(1000.0)
            gate.out[:, :, 0], gate.out[:, :, 1] = 1.0, -1.0
    out = made(block, H[:, :2])
    gradient = torch.autograd.grad(out[:, 0].sum(), [e.weight for e in made.experts])
    assert gradient[0].any()
    assert not gradient[1].any()


def test_order_of_edges_does_not_matter(make_block):
    made = layer()
    found = made(typed_block(make_block, edges=TYPED[::-1]), H)
    torch.testing.assert_close(found, made(typed_block(make_block), H), rtol=0, atol=1e-12)


def test_relations_may_be_renamed(make_block):
    made, again, order = layer(), layer(), [2, 0, 3, 1]
    with torch.no_grad():
        for one, other in zip(made.gates, again.gates, strict=True):
            other.out.copy_(one.out[order])
        for one, other in zip(made.attention, again.attention, strict=True):
            other.a_relation.copy_(one.a_relation[order])
            other.relation_scale.copy_(one.relation_scale[order])
    renamed = [(u, v, order.index(relation)) for u, v, relation in TYPED]
    found = again(typed_block(make_block, edges=renamed), H)
    torch.testing.assert_close(found, made(typed_block(make_block), H), rtol=0, atol=1e-12)


def test_tasks_may_be_renumbered(make_block):
    made, again, order = layer(), layer(), [1, 0, 2]
    with torch.no_grad():
        for mine in ("experts", "attention"):
            for place, source in enumerate(order):
                getattr(again, mine)[place].load_state_dict(
                    getattr(made, mine)[source].state_dict()
                )
        for place, source in enumerate(order):
            again.gates[place].load_state_dict(made.gates[source].state_dict())
        again.gates[2].out.copy_(made.gates[2].out[:, :, order])
    block = typed_block(make_block)
    found = again(block, H[:, order])
    torch.testing.assert_close(found, made(block, H)[:, order], rtol=0, atol=1e-12)


def test_gradients(make_block, checked_gradients):
    found = checked_gradients(layer(), typed_block(make_block, "bipartite"), H)
    assert all(gradient.any() for gradient in found.values())


def test_derivatives_of_dgl_are_those_of_torch(make_block, equal_on_both_backends):
    equal_on_both_backends(layer, lambda: typed_block(make_block, "bipartite"), H)
