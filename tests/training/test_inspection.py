"""What inspection says of gates and attention that are known."""

import math

import pytest
import torch

from counterpoint.models import SharingSettings, make_model
from counterpoint.nn.encoders import EncoderSettings
from counterpoint.training.inspection import layer_readings

TASKS = ("click", "buy")


def model_of(graph, architecture, tasks=TASKS, encoder="hgn", **sharing):
    torch.manual_seed(0)
    chosen = {name: graph.meta.tasks[name] for name in tasks}
    settings = EncoderSettings(width=4, layers=2)
    shape = SharingSettings(width=4, **sharing)
    model = make_model(architecture, encoder, graph.meta, chosen, settings, shape)
    return model, chosen


def table(model, graph, tasks):
    rows = layer_readings(model, graph.view(2), tasks)
    return {(r["layer"], r["task"], r["relation"], r["name"]): r["value"] for r in rows}


@pytest.mark.parametrize(("architecture", "encoder"), [("inline", "hgn"), ("struchis", "relgat")])
def test_fresh_gates_are_uniform_and_alike(market_graph, architecture, encoder):
    model, tasks = model_of(market_graph, architecture, encoder=encoder)
    found = table(model, market_graph, tasks)
    relations = set(market_graph.etype.tolist())
    assert {key[:3] for key in found} == {
        (layer, task, relation) for layer in (0, 1) for task in TASKS for relation in relations
    }
    for (_, _, _, name), value in found.items():
        expected = {"gate_entropy": 1.0, "others": 0.5, "divergence": 0.0, "others_by_degree": 0.0}
        if name in expected:
            assert value == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize(
    ("architecture", "encoder", "tasks"),
    [
        ("inline", "hgn", TASKS),
        ("struchis", "relgat", TASKS),
        ("single_task", "hgn", TASKS[:1]),
        ("single_task", "relgat", TASKS[:1]),
    ],
)
def test_attention_over_the_relations_of_a_head_sums_to_the_share_of_heads_that_read(
    market_graph, architecture, encoder, tasks
):
    model, tasks = model_of(market_graph, architecture, tasks, encoder)
    found = table(model, market_graph, tasks)
    (block, *_) = market_graph.view(2).blocks
    for head in {part.dst_type for part in block.by_relation}:
        parts = [part for part in block.by_relation if part.dst_type == head]
        rows = parts[0].dst
        share = float((block.csr.indptr.diff()[rows] > 0).double().mean())
        for name in ("attention", "even"):
            total = sum(found[0, "click", part.relation, name] for part in parts)
            assert total == pytest.approx(share, abs=1e-5)


def test_attention_that_ignores_its_input_is_even(market_graph):
    for architecture, encoder, tasks in (
        ("inline", "hgn", TASKS),
        ("single_task", "gat", TASKS[:1]),
        ("struchis", "relgat", TASKS),
    ):
        model, tasks = model_of(market_graph, architecture, tasks, encoder)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.rsplit(".", 1)[-1] in ("a_src", "a_dst", "score"):
                    parameter.zero_()
        found = table(model, market_graph, tasks)
        even = {key[:3]: value for key, value in found.items() if key[3] == "even"}
        assert len(set(even.values())) > 3
        for place, value in even.items():
            assert found[*place, "attention"] == pytest.approx(value, abs=1e-6)


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


@pytest.mark.parametrize("encoder", ["gat", "hgn", "relgat"])
def test_twins_have_attention_and_no_gates_and_other_models_nothing(market_graph, encoder):
    twin, tasks = model_of(market_graph, "single_task", TASKS[:1], encoder)
    found = table(twin, market_graph, tasks)
    assert {key[3] for key in found} == {"attention", "even"}
    assert {key[0] for key in found} == {0, 1}
    joint, tasks = model_of(market_graph, "mmoe", encoder=encoder)
    assert not table(joint, market_graph, tasks)


def test_one_task_alone_has_layers_but_no_gates(market_graph):
    model, tasks = model_of(market_graph, "struchis", TASKS[:1], "relgat")
    found = table(model, market_graph, tasks)
    assert {key[0] for key in found} == {0, 1}
    assert {key[3] for key in found} == {"attention", "even"}


def scattered(model, seed=0):
    """The model with parameters far from the start, so that gates and attention differ."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model


@pytest.mark.parametrize("mask_absent", [True, False])
@torch.no_grad()
def test_struchis_readings_equal_loops(market_graph, mask_absent):
    names = ("click", "buy", "visit")
    model, tasks = model_of(
        market_graph, "struchis", names, "relgat", struchis={"mask_absent": mask_absent}
    )
    found = table(scattered(model), market_graph, tasks)
    (block, *_), layer = market_graph.view(2).blocks, model.layers[0]
    h = model.input(market_graph.view(2))  # all tasks start from one state
    said = [made.messages(block, h) for made in layer.blocks]
    degree = torch.bincount(block.csr.dst, minlength=block.csr.n_dst).tolist()
    heads = [part.dst_type for part in block.by_relation]
    means = {}
    for task, name in enumerate(names):
        gate, made = layer.gates[task], layer.blocks[task]
        order = [task, *(k for k in range(3) if k != task)]
        for place, part in enumerate(block.by_relation):
            beside = [n for n, head in enumerate(heads) if head == part.dst_type]
            read, mass, even = [], 0.0, 0.0
            for row, v in enumerate(part.dst.tolist()):
                logits, there = [], []
                for n in beside:
                    hidden = (h[v] @ gate.weight[heads[n]] + gate.bias[heads[n]]).relu()
                    weights = (hidden @ gate.out[block.by_relation[n].relation]).softmax(0)
                    mixed = sum(g * said[k][n][row] for k, g in enumerate(weights))
                    logits.append(made.score[heads[n]] @ mixed)
                    there.append(bool((block.by_relation[n].csr.dst == row).any()))
                    if n == place and there[-1]:
                        read.append((weights[order].tolist(), degree[v]))
                exp = [
                    math.exp(float(z)) * (t or not mask_absent)
                    for z, t in zip(logits, there, strict=True)
                ]
                if there[beside.index(place)]:
                    mass += exp[beside.index(place)] / sum(exp)
                    even += 1 / sum(there)
            entropies = [-sum(g * math.log(g) for g in gates) / math.log(3) for gates, _ in read]
            others = [1 - gates[0] for gates, _ in read]
            key = (0, name, part.relation)
            means[name, place] = [sum(g[k] for g, _ in read) / len(read) for k in range(3)]
            assert found[*key, "attention"] == pytest.approx(mass / len(part.dst), abs=1e-5)
            assert found[*key, "even"] == pytest.approx(even / len(part.dst), abs=1e-5)
            assert found[*key, "gate_entropy"] == pytest.approx(
                sum(entropies) / len(read), abs=1e-5
            )
            assert found[*key, "others"] == pytest.approx(sum(others) / len(read), abs=1e-5)
            assert found[*key, "others_by_degree"] == pytest.approx(
                spearman(others, [d for _, d in read]), abs=1e-3
            )  # ranks of nearly equal floats may swap
    for place, part in enumerate(block.by_relation):
        for name in names:
            apart = [
                jensen_shannon(means[name, place], means[o, place]) for o in names if o != name
            ]
            assert found[0, name, part.relation, "divergence"] == pytest.approx(
                sum(apart) / 2, abs=1e-5
            )


def spearman(x, y):
    def ranks(values):
        return [sum(w < v for w in values) + sum(w == v for w in values) / 2 for v in values]

    if len(set(x)) == 1 or len(set(y)) == 1:
        return 0.0
    return float(torch.corrcoef(torch.tensor([ranks(x), ranks(y)]))[0, 1])


def jensen_shannon(p, q):
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return sum(
        sum(a * math.log2(a / m) for a, m in zip(one, middle, strict=True)) / 2 for one in (p, q)
    )


def test_struchis_gates_open_for_their_own_task_alone_read_no_other(market_graph):
    model, tasks = model_of(market_graph, "struchis", encoder="relgat")
    with torch.no_grad():
        for task, gate in enumerate(model.layers[0].gates):
            gate.bias.fill_(1.0)
            gate.weight.zero_()
            gate.out.zero_()
            gate.out[:, :, task] = 100.0
    found = table(model, market_graph, tasks)
    relation = int(market_graph.etype[0])
    for task in TASKS:
        assert found[0, task, relation, "others"] == pytest.approx(0.0, abs=1e-6)
        assert found[0, task, relation, "gate_entropy"] == pytest.approx(0.0, abs=1e-6)
        assert found[0, task, relation, "divergence"] == pytest.approx(0.0, abs=1e-6)
