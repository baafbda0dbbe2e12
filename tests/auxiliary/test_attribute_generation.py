"""Attribute generation: each kind of feature by loops, and what has no answer."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from counterpoint.auxiliary import AnyAuxiliary, make_auxiliary
from counterpoint.auxiliary.attribute_generation import (
    AttributeGenerationSettings,
    bag_loss,
    cosine_loss,
)
from counterpoint.errors import UserError
from counterpoint.graph.ops import Csr
from counterpoint.graph.store import TypeMeta

WIDTH = 4
SETTINGS = AttributeGenerationSettings(kind="attribute_generation", seeds=1000)


def whole(graph, nodes, keep=None, hidden=None):
    return graph.view(1, keep, hidden)


def test_cosine_loss_is_the_distance_in_direction():
    guess, x = torch.randn(7, 3), torch.randn(7, 3)
    found = cosine_loss(guess, x, 0.1)
    for row in range(7):
        cos = float(guess[row] @ x[row] / (guess[row].norm() * x[row].norm()))
        assert float(found[row]) == pytest.approx((1 - cos) / 0.1, rel=1e-4, abs=1e-4)
    torch.testing.assert_close(cosine_loss(x, 3 * x, 0.1), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(cosine_loss(x, -x, 0.1), torch.full((7,), 20.0))


def test_bag_loss_is_the_mean_cross_entropy_of_its_tokens():
    tokens = [[0, 2, 2], [], [4], [1, 3]]
    lengths = torch.tensor([0] + [len(bag) for bag in tokens]).cumsum(0)
    bag = Csr(lengths, torch.tensor([word for bag in tokens for word in bag]), 5)
    logits = torch.randn(4, 5)
    found = bag_loss(logits, bag)
    for row, words in enumerate(tokens):
        p = [math.exp(v) for v in logits[row].tolist()]
        wanted = sum(-math.log(p[word] / sum(p)) for word in words) / max(len(words), 1)
        assert float(found[row]) == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_a_nodes_loss_is_the_mean_over_its_known_features(market_graph):
    torch.manual_seed(0)
    objective = make_auxiliary(SETTINGS, market_graph.meta, WIDTH)
    generator = torch.Generator().manual_seed(0)
    batch = objective.batch(market_graph, partial(whole, market_graph), generator)
    h = torch.randn(market_graph.meta.n_nodes, WIDTH)
    with torch.no_grad():
        found = objective.losses(lambda view: h, batch)
        wanted = []
        for name in ("user", "item"):
            inputs, decoder = market_graph.inputs[name], objective.decoders[name]
            for row in range(market_graph.meta.count(name)):
                own, parts = h[None, market_graph.meta.offsets[name] + row], []
                if bool(inputs.dense[row].any()):
                    guess = decoder.dense(own)
                    parts.append(cosine_loss(guess, inputs.dense[[row]], 0.1))
                for column, layer in enumerate(decoder.codes):
                    if inputs.codes[row, column]:
                        logits = layer(own).log_softmax(-1)
                        parts.append(-logits[:, inputs.codes[row, column]])
                for bag, csr in inputs.bags.items():
                    words = csr.indices[csr.indptr[row] : csr.indptr[row + 1]]
                    if len(words):
                        logits = decoder.bags[bag](own).log_softmax(-1)
                        parts.append(-logits[:, words].mean(1))
                if parts:
                    wanted.append(torch.cat(parts).mean())
    torch.testing.assert_close(found, torch.stack(wanted))
    assert len(found) < market_graph.meta.n_nodes  # shops have no feature


def test_a_node_without_a_known_feature_is_not_asked_for(small_graph):
    types = [TypeMeta(name="user", count=4, vocabularies=(3,))]
    features = {"user/codes": np.array([[1], [0], [2], [0]])}
    graph = small_graph(types, {"knows": ("user", "user", [(0, 1), (2, 3)])}, features)
    objective = make_auxiliary(SETTINGS, graph.meta, WIDTH)
    batch = objective.batch(graph, partial(whole, graph), torch.Generator().manual_seed(0))
    assert objective.losses(lambda view: torch.randn(4, WIDTH), batch).shape == (2,)


@pytest.mark.parametrize("kind", ["attribute_generation", "feature_reconstruction"])
def test_a_graph_without_features_is_the_users_fault(small_graph, kind):
    types = [TypeMeta(name="user", count=4)]
    graph = small_graph(types, {"knows": ("user", "user", [(0, 1), (2, 3)])})
    settings = TypeAdapter(AnyAuxiliary).validate_python({"kind": kind})
    with pytest.raises(UserError, match=f"{kind}: no node type has a"):
        make_auxiliary(settings, graph.meta, WIDTH)
