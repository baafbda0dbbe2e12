"""StrucHIS's layer and its single-task form against loops, and what they must keep."""

import pytest
import torch
from torch.nn import functional as F

from counterpoint.nn.relation_attention import RelationAttention
from counterpoint.nn.struchis import StrucHISLayer

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # forward mode

TYPED = [(1, 0, 2), (4, 0, 2), (5, 0, 0), (2, 4, 0), (0, 2, 1), (5, 3, 3), (1, 5, 1), (3, 1, 0)]
RELATIONS, TYPES, WIDTH, TASKS = 4, 2, 4, 2
HEAD = {0: 0, 2: 0, 1: 1, 3: 1}  # type of each relation's heads
H = torch.randn(6, TASKS, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BLOCKS = {"whole": (6, 0), "bipartite": (4, 0), "no edges": (6, 0)}


def layer(tasks=TASKS, *, mask_absent=True):
    torch.manual_seed(0)
    made = StrucHISLayer(WIDTH, tasks, RELATIONS, TYPES, gate_width=3, mask_absent=mask_absent)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return made.double()


def typed_block(make_block, shape="whole", edges=TYPED):
    return make_block(*BLOCKS[shape], [] if shape == "no edges" else edges)


def edges_of(block):
    columns = (block.csr.indices, block.csr.dst, block.etype)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def message(made, edges, h, v, relation):
    """What a relation says to node v: attention over its edges; zeros without any."""
    head, incoming = HEAD[relation], [u for u, dst, r in edges if (dst, r) == (v, relation)]
    if not incoming:
        return torch.zeros(WIDTH, dtype=h.dtype)
    own = made.a_dst[head] @ (h[v] @ made.weight[head])
    said = [h[u] @ made.weight[head] for u in incoming]
    logits = [own + made.a_src[head] @ y + made.a_relation[relation] for y in said]
    return F.leaky_relu(torch.stack(logits), 0.2).softmax(0) @ torch.stack(said)


def looped(made, block, states):
    edges, types = edges_of(block), block.node_type.tolist()
    present = {r for _, _, r in edges}
    rows = []
    for v in range(block.csr.n_dst):
        relations = [r for r in sorted(present) if HEAD[r] == types[v]]
        outputs = []
        for task, own in enumerate(made.blocks):
            h, gate = states[:, task], made.gates[task]
            mixed = []
            for r in relations:
                hidden = (h[v] @ gate.weight[types[v]] + gate.bias[types[v]]).relu()
                weights = (hidden @ gate.out[r]).softmax(0)
                said = [message(b, edges, states[:, k], v, r) for k, b in enumerate(made.blocks)]
                mixed.append(sum(g * m for g, m in zip(weights, said, strict=True)))
            heard = [
                n
                for n, r in enumerate(relations)
                if not own.mask_absent or any((dst, e) == (v, r) for _, dst, e in edges)
            ]
            out = own.own(h[v])
            if heard:
                head = types[v]
                logits = [own.score[head] @ mixed[n] for n in heard]
                out = out + torch.stack(logits).softmax(0) @ torch.stack([mixed[n] for n in heard])
            outputs.append(out)
        rows.append(torch.stack(outputs))
    return torch.stack(rows)


@pytest.mark.parametrize("shape", BLOCKS)
@pytest.mark.parametrize("mask_absent", [True, False])
def test_equals_loops(make_block, backend, shape, mask_absent):
    made, block = layer(mask_absent=mask_absent), typed_block(make_block, shape)
    torch.testing.assert_close(made(block, H), looped(made, block, H), rtol=0, atol=1e-10)


def test_one_task_is_the_convolution(make_block):
    made, convolution = layer(1), RelationAttention(WIDTH, WIDTH, RELATIONS, TYPES).double()
    convolution.load_state_dict(made.blocks[0].state_dict())
    block = typed_block(make_block)
    found = made(block, H[:, :1])[:, 0]
    torch.testing.assert_close(found, convolution(block, H[:, 0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mask_absent", [True, False])
def test_tied_blocks_and_uniform_gates_make_one_convolution(make_block, mask_absent):
    made = layer(mask_absent=mask_absent)
    convolution = RelationAttention(WIDTH, WIDTH, RELATIONS, TYPES, mask_absent=mask_absent)
    convolution.double().load_state_dict(made.blocks[0].state_dict())
    with torch.no_grad():
        for gate in made.gates:
            gate.out.zero_()
        made.blocks[1].load_state_dict(convolution.state_dict())
    block, states = typed_block(make_block), H[:, :1].expand(-1, TASKS, -1)
    outputs, expected = made(block, states), convolution(block, H[:, 0])
    for task in range(TASKS):
        torch.testing.assert_close(outputs[:, task], expected, rtol=0, atol=1e-12)


def test_gates_sum_to_one_and_start_uniform(make_block):
    block, fresh = (
        typed_block(make_block),
        StrucHISLayer(WIDTH, TASKS, RELATIONS, TYPES, gate_width=3, mask_absent=True).double(),
    )
    for learned, start in zip(
        layer().gates[0](block, H[:, 0]), fresh.gates[0](block, H[:, 0]), strict=True
    ):
        torch.testing.assert_close(learned.sum(1), torch.ones(len(learned)).double())
        torch.testing.assert_close(start, torch.full_like(start, 1 / TASKS))


def test_attention_over_relations_sums_to_one_over_those_that_are_there(make_block):
    made, block = layer().blocks[0], typed_block(make_block)
    messages = made.messages(block, H[:, 0])
    for head in (0, 1):
        parts = [n for n, part in enumerate(block.by_relation) if part.dst_type == head]
        weights = made.attention(block, messages, parts)
        there = torch.stack([block.by_relation[n].csr.indptr.diff() > 0 for n in parts], 1)
        assert not weights[~there].any()
        torch.testing.assert_close(weights.sum(1), there.any(1).double())


def test_order_of_edges_does_not_matter(make_block):
    made = layer()
    found = made(typed_block(make_block, edges=TYPED[::-1]), H)
    torch.testing.assert_close(found, made(typed_block(make_block), H), rtol=0, atol=1e-12)


def test_relations_may_be_renamed(make_block):
    made, again, order = layer(), layer(), [2, 0, 3, 1]
    with torch.no_grad():
        for one, other in zip(made.gates, again.gates, strict=True):
            other.out.copy_(one.out[order])
        for one, other in zip(made.blocks, again.blocks, strict=True):
            other.a_relation.copy_(one.a_relation[order])
    renamed = [(u, v, order.index(relation)) for u, v, relation in TYPED]
    found = again(typed_block(make_block, edges=renamed), H)
    torch.testing.assert_close(found, made(typed_block(make_block), H), rtol=0, atol=1e-12)


def test_tasks_may_be_renumbered(make_block):
    made, again, order = layer(3), layer(3), [2, 0, 1]
    with torch.no_grad():
        for place, source in enumerate(order):
            again.blocks[place].load_state_dict(made.blocks[source].state_dict())
            again.gates[place].load_state_dict(made.gates[source].state_dict())
            again.gates[place].out.copy_(made.gates[source].out[:, :, order])
    block, states = typed_block(make_block), torch.cat([H, H[:, :1].flip(0)], 1)
    found = again(block, states[:, order])
    torch.testing.assert_close(found, made(block, states)[:, order], rtol=0, atol=1e-12)


def test_gates_open_for_their_own_task_alone_keep_other_messages_from_it(make_block):
    made, block = layer(), typed_block(make_block)
    with torch.no_grad():
        for task, gate in enumerate(made.gates):
            gate.bias.fill_(1000.0)
            gate.out.fill_(-1.0)
            gate.out[:, :, task] = 1.0
    out = made(block, H)
    own, other = torch.autograd.grad(out[:, 0].sum(), [b.a_src for b in made.blocks])
    assert own.any()
    assert not other.any()


def test_gradients(make_block, checked_gradients):
    found = checked_gradients(layer(), typed_block(make_block, "bipartite"), H)
    assert all(gradient.any() for gradient in found.values())


def test_derivatives_of_dgl_are_those_of_torch(make_block, equal_on_both_backends):
    equal_on_both_backends(layer, lambda: typed_block(make_block, "bipartite"), H)
