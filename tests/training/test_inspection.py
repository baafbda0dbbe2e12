"""What inspection says of gates and attention that are known."""

import math

import pytest
import torch

from counterpoint.models import SharingSettings, make_model
from counterpoint.nn.encoders import EncoderSettings
from counterpoint.training.inspection import layer_readings

TASKS = ("click", "buy")


def model_of(graph, architecture, tasks=TASKS, **sharing):
    torch.manual_seed(0)
    chosen = {name: graph.meta.tasks[name] for name in tasks}
    settings = EncoderSettings(width=4, layers=2)
    shape = SharingSettings(width=4, **sharing)
    model = make_model(architecture, "hgn", graph.meta, chosen, settings, shape)
    return model, chosen


def table(model, graph, tasks):
    rows = layer_readings(model, graph.view(2), tasks)
    return {(r["layer"], r["task"], r["relation"], r["name"]): r["value"] for r in rows}


def test_fresh_gates_are_uniform_and_alike(market_graph):
    model, tasks = model_of(market_graph, "inline")
    found = table(model, market_graph, tasks)
    relations = set(market_graph.etype.tolist())
    assert {key[:3] for key in found} == {
        (layer, task, relation) for layer in (0, 1) for task in TASKS for relation in relations
    }
    for (_, _, _, name), value in found.items():
        expected = {"gate_entropy": 1.0, "others": 0.5, "divergence": 0.0, "others_by_degree": 0.0}
        if name in expected:
            assert value == pytest.approx(expected[name], abs=1e-6)


def test_attention_over_the_relations_of_a_head_sums_to_the_share_of_heads_that_read(market_graph):
    model, tasks = model_of(market_graph, "inline")
    found = table(model, market_graph, tasks)
    (block, *_) = market_graph.view(2).blocks
    for head in {part.dst_type for part in block.by_relation}:
        parts = [part for part in block.by_relation if part.dst_type == head]
        rows = parts[0].dst
        share = float((block.csr.indptr.diff()[rows] > 0).double().mean())
        total = sum(found[0, "click", part.relation, "attention"] for part in parts)
        assert total == pytest.approx(share, abs=1e-5)


def test_gates_that_differ_are_told_apart(market_graph):
    model, tasks = model_of(market_graph, "inline")
    with torch.no_grad():
        for gate, sign in zip(model.layers[0].gates[:2], (1.0, -1.0), strict=True):
            gate.bias.fill_(1.0)
            gate.at_dst.zero_()
            gate.at_src.zero_()
            gate.out.zero_()
            gate.out[:, :, 0] = sign * 100.0  # one opens its own expert alone, the other shuts it
    found = table(model, market_graph, tasks)
    relation = int(market_graph.etype[0])
    assert found[0, "click", relation, "others"] == pytest.approx(0.0, abs=1e-6)
    assert found[0, "buy", relation, "others"] == pytest.approx(1.0, abs=1e-6)
    assert found[0, "click", relation, "gate_entropy"] == pytest.approx(0.0, abs=1e-6)
    assert found[0, "click", relation, "divergence"] == pytest.approx(1.0, abs=1e-6)
    assert found[1, "click", relation, "divergence"] == pytest.approx(0.0, abs=1e-6)


def test_the_own_expert_comes_first_whatever_a_block_sees(market_graph):
    model, tasks = model_of(market_graph, "inline", inline={"topology": "mmoe"})
    assert model.seen == [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
    with torch.no_grad():
        gate = model.layers[0].gates[1]
        for part in (gate.at_dst, gate.at_src, gate.out):
            part.zero_()
        gate.bias.fill_(1.0)
        gate.out[:, :, 0] = 100.0  # the second task opens its own expert alone
    found = table(model, market_graph, tasks)
    relation = int(market_graph.etype[0])
    assert found[0, "buy", relation, "others"] == pytest.approx(0.0, abs=1e-6)
    assert found[0, "click", relation, "others"] == pytest.approx(2 / 3)


def test_gates_that_hardly_differ_have_a_divergence(market_graph):
    model, tasks = model_of(market_graph, "inline")
    for seed in range(5):
        torch.manual_seed(seed)
        with torch.no_grad():
            for layer in model.layers:
                for gate in layer.gates:
                    torch.nn.init.normal_(gate.out, std=1e-4)
        found = table(model, market_graph, tasks)
        apart = [value for key, value in found.items() if key[3] == "divergence"]
        assert all(0 <= value < 1e-3 for value in apart)


def test_gates_that_follow_the_degree_are_found_out(market_graph):
    model, tasks = model_of(market_graph, "inline")
    gate = model.layers[0].gates[0]
    degree = market_graph.csr.indptr.diff().float()
    gate.forward = lambda block, h: torch.stack(
        [1 / (1 + degree[block.csr.dst]), degree[block.csr.dst] / (1 + degree[block.csr.dst])], 1
    )
    found = table(model, market_graph, tasks)
    values = [
        v
        for (layer, task, _, name), v in found.items()
        if name == "others_by_degree" and (layer, task) == (0, "click")
    ]
    assert all(value == pytest.approx(1.0) or math.isclose(value, 0.0) for value in values)
    assert any(value == pytest.approx(1.0) for value in values)


def test_twins_have_attention_and_no_gates_and_other_models_nothing(market_graph):
    twin, tasks = model_of(market_graph, "single_task", TASKS[:1])
    assert {key[3] for key in table(twin, market_graph, tasks)} == {"attention"}
    joint, tasks = model_of(market_graph, "mmoe")
    assert not table(joint, market_graph, tasks)
