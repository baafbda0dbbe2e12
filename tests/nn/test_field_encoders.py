from dataclasses import replace

import pytest
import torch

from counterpoint.nn.encoder import EncoderSettings
from counterpoint.nn.encoders import make_encoder
from counterpoint.nn.field_encoders import BRANCHES
from counterpoint.nn.inputs import EMBEDDING_STD

SETTINGS = EncoderSettings(width=5, layers=2, dropout=0.0, field_width=4)
FIELDS = 2  # of users and items; shops have their ids alone


@pytest.fixture
def encoded(market_graph):
    """Encode the market by a kind of encoder: the encoder, fields ``[n, C, e]``, what it gives."""

    def made(kind):
        torch.manual_seed(0)
        encoder, view = make_encoder(kind, market_graph.meta, SETTINGS), market_graph.view(0)
        return encoder, encoder.input(view).view(-1, FIELDS, 4), encoder(view)

    return made


def test_fields_are_kept_apart(encoded, market_graph):
    encoder, tokens, found = encoded("fields")
    assert torch.equal(found, tokens.flatten(1))
    assert (encoder.fields, encoder.width, encoder.depth) == (FIELDS, 8, 0)
    shops = torch.tensor([t.name == "shop" for t in market_graph.meta.node_types])
    assert not tokens[shops[market_graph.node_type], 1].any()
    assert tokens[~shops[market_graph.node_type]].flatten(1).any(1).all()


@pytest.mark.parametrize("kind", BRANCHES)
def test_a_view_without_nodes_gives_no_rows(encoded, market_graph, kind):
    encoder, _, found = encoded(kind)
    whole, none = market_graph.view(0), torch.zeros(0, dtype=torch.int64)
    inputs = {name: taken.at(none) for name, taken in whole.inputs.items()}
    order = None if whole.order is None else none
    assert encoder(replace(whole, inputs=inputs, order=order)).shape == (0, found.shape[1])


def test_wide_and_deep(encoded, market_graph):
    encoder, tokens, found = encoded("wide_deep")
    wide = encoder.wide(market_graph.view(0))
    expected = torch.cat([encoder.layers[0](tokens), wide], 1)
    assert torch.equal(found, expected)
    assert encoder.width == 5 + FIELDS
    assert encoder.wide is not encoder.input
    city = encoder.wide.types["user"].codes
    assert city.weight.shape[1] == 1


def test_dcn_is_cross_beside_deep(encoded):
    encoder, tokens, found = encoded("dcn_v2")
    x0 = x = tokens.flatten(1)
    for layer in encoder.layers[0].layers:
        x = x0 * (x @ layer.matrix.weight.T + layer.bias) + x
    torch.testing.assert_close(found[:, :8], x)
    torch.testing.assert_close(found[:, 8:], encoder.layers[1](tokens))


def test_fint_is_deep_on_products(encoded):
    encoder, tokens, found = encoded("fint")
    fields, deep = encoder.layers[0]
    v = tokens
    for layer in fields.layers:
        v = v * torch.einsum("cf,nfe->nce", layer.matrix.weight, tokens) + layer.residual * v
    torch.testing.assert_close(found, deep(v))


def test_nfm_is_deep_on_the_sum_of_products(encoded):
    encoder, tokens, found = encoded("nfm")
    pooled = tokens[:, 0] * tokens[:, 1]
    torch.testing.assert_close(found[:, :5], encoder.layers[0][1](pooled))
    assert found.shape[1] == 5 + FIELDS


def test_xdeepfm_has_three_branches(encoded, market_graph):
    encoder, tokens, found = encoded("xdeepfm")
    compressed, deep = encoder.layers
    parts = [compressed(tokens), deep(tokens), encoder.wide(market_graph.view(0))]
    torch.testing.assert_close(found, torch.cat(parts, 1))
    assert encoder.width == 2 * 5 + 5 + FIELDS


@pytest.mark.parametrize("kind", BRANCHES)
def test_all_begin_at_the_same_embeddings(encoded, kind):
    encoder, tokens, _ = encoded(kind)
    expected, plain, _ = encoded("fields")
    assert torch.equal(tokens, plain)
    known = dict(expected.input.named_parameters())
    assert all(torch.equal(p, known[name]) for name, p in encoder.input.named_parameters())
    assert tokens.std() < 2 * EMBEDDING_STD


@pytest.mark.parametrize("kind", BRANCHES)
def test_width_is_what_is_said(encoded, kind):
    encoder, _, found = encoded(kind)
    assert found.shape[1] == encoder.width
    assert encoder.depth == 0
