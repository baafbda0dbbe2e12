import pytest
import torch

from counterpoint.errors import UserError
from counterpoint.nn import interactions
from counterpoint.nn.interactions import (
    CompressedInteraction,
    CrossNetwork,
    FieldAttention,
    FieldNetwork,
    PooledProducts,
    SoftSelection,
)

FIELDS, WIDTH = 3, 4
TOKENS = torch.randn(
    5, FIELDS, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
MAKERS = [
    *(lambda form=form: CrossNetwork(FIELDS * WIDTH, 2, form) for form in ("phn", "dcn_v2")),
    *(lambda form=form: FieldNetwork(FIELDS, 2, form) for form in ("phn", "fint")),
    lambda: FieldAttention(WIDTH),
    lambda: CompressedInteraction(FIELDS, 2, 3),
    PooledProducts,
]


def moved(module):
    """In float64, its parameters away from where they start."""
    generator = torch.Generator().manual_seed(1)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)
    return module


def test_cross_layers_equal_a_loop_over_numbers():
    d = FIELDS * WIDTH
    for form in ("phn", "dcn_v2"):
        network = moved(CrossNetwork(d, 2, form))
        found = network(TOKENS)
        for row, tokens in enumerate(TOKENS):
            x0 = x = tokens.flatten()
            for layer in network.layers:
                up = []
                for i in range(d):
                    product = sum(layer.matrix.weight[i, j] * x[j] for j in range(d))
                    if form == "dcn_v2":
                        up.append(x0[i] * (product + layer.bias[i]) + x[i])
                    else:
                        inner = sum(layer.vector.weight[0, j] * x[j] for j in range(d))
                        up.append(x0[i] * product + x0[i] * inner + layer.bias[i])
                        up[-1] = up[-1] + layer.residual[i] * x[i]
                x = torch.stack(up)
            torch.testing.assert_close(found[row], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["phn", "fint"])
def test_field_layers_equal_a_loop_over_fields(form):
    network = moved(FieldNetwork(FIELDS, 2, form))
    found = network(TOKENS)
    for row, v0 in enumerate(TOKENS):
        v = v0
        for layer in network.layers:
            mixed = v if form == "phn" else v0
            kept = v0 if form == "phn" else v
            v = torch.stack(
                [
                    kept[c] * sum(layer.matrix.weight[c, f] * mixed[f] for f in range(FIELDS))
                    + layer.residual[c] * v[c]
                    for c in range(FIELDS)
                ]
            )
        torch.testing.assert_close(found[row], v.flatten(), rtol=0, atol=1e-12)


def test_attention_is_torchs():
    attention = moved(FieldAttention(WIDTH))
    oracle = torch.nn.MultiheadAttention(WIDTH, 2, bias=False, batch_first=True).double()
    with torch.no_grad():
        parts = (attention.query, attention.key, attention.value)
        oracle.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        oracle.out_proj.weight.copy_(torch.eye(WIDTH))
    expected, _ = oracle(TOKENS, TOKENS, TOKENS)
    torch.testing.assert_close(attention(TOKENS), expected, rtol=0, atol=1e-12)


def test_attention_does_not_know_the_order_of_fields():
    attention, order = moved(FieldAttention(WIDTH)), torch.tensor([2, 0, 1])
    torch.testing.assert_close(attention(TOKENS[:, order]), attention(TOKENS)[:, order])


def test_fields_must_be_shared_out_among_the_heads():
    with pytest.raises(UserError, match="field_width: 3 is not a multiple of 2"):
        FieldAttention(3)


def test_selection_chooses_between_fields_and_attention():
    selection, attended = SoftSelection(FIELDS, WIDTH).double(), TOKENS.flip(0)
    torch.testing.assert_close(selection(TOKENS, attended), (TOKENS + attended) / 2)
    for gate, expected in ((60.0, attended), (-60.0, TOKENS)):
        torch.nn.init.constant_(selection.gate, gate)
        torch.testing.assert_close(selection(TOKENS, attended), expected)


@pytest.mark.parametrize("make", MAKERS)
def test_rows_are_treated_one_by_one(make):
    network, order = moved(make()), torch.tensor([3, 0, 3])
    torch.testing.assert_close(network(TOKENS[order]), network(TOKENS)[order])


@pytest.mark.parametrize("make", MAKERS)
def test_gradients(make):
    network = moved(make())
    assert torch.autograd.gradcheck(network, TOKENS[:2].clone().requires_grad_())


def test_pooled_products_are_those_of_all_pairs():
    v = TOKENS.unbind(1)
    expected = v[0] * v[1] + v[0] * v[2] + v[1] * v[2]
    torch.testing.assert_close(PooledProducts()(TOKENS), expected, rtol=0, atol=1e-12)


def test_compressed_interaction_equals_a_loop_over_maps(monkeypatch):
    network = moved(CompressedInteraction(FIELDS, 2, 4))
    sums, maps = [], list(TOKENS.unbind(1))
    for layer in network.layers:
        weight = layer.weight.view(4, len(maps), FIELDS)
        maps = [
            sum(
                weight[k, h, c] * maps[h] * TOKENS[:, c]
                for h in range(len(maps))
                for c in range(FIELDS)
            )
            for k in range(4)
        ]
        sums += [x.sum(1) for x in maps]
    for rows in (2, 4096):
        monkeypatch.setattr(interactions, "AT_A_TIME", rows)
        found = network(TOKENS)
        torch.testing.assert_close(found, torch.stack(sums, 1), rtol=0, atol=1e-12)
