"""Pre-training: what it learns from, and that every model of the encoder starts there."""

import polars as pl
import pytest
import torch

from counterpoint.auxiliary import AUXILIARIES
from counterpoint.errors import UserError
from counterpoint.files import new_folder, sha256_of_file
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.loop import Trainer
from counterpoint.training.pretrain import (
    PretrainSettings,
    auxiliary_tasks,
    labelled_nodes,
    load_trunk,
    pretrained_trunk,
    trunk_path,
    unlabelled_part,
    write_trunk,
)
from counterpoint.training.settings import TrainSettings, cell_named

TRAIN = TrainSettings.model_validate(
    {"encoder": {"width": 8, "layers": 1}, "batch_size": 64, "epochs": 1, "threads": 1}
)
SETTINGS = PretrainSettings.model_validate(
    {"epochs": 3, "auxiliaries": {"degrees": {"kind": "degree", "seeds": 16}}}
)


def trunk(graph, seed=0, settings=SETTINGS, encoder="gcn", lines=None):
    report = [].append if lines is None else lines.append
    return pretrained_trunk(graph.store, encoder, settings, TRAIN, seed, report)


def test_learns_from_auxiliaries_alone(market_graph):
    tasks = auxiliary_tasks(SETTINGS, market_graph.meta)
    assert tasks
    assert all(task.role == "auxiliary" for task in tasks.values())
    lines: list[str] = []
    found = trunk(market_graph, lines=lines)
    fresh = Trainer(market_graph, cell_named("shared_bottom-gcn-fixed"), tasks, TRAIN, seed=0).model
    before = dict(fresh.named_parameters())
    assert set(found) == {name for name in before if name.startswith("encoder.")}
    assert any(not torch.equal(found[name], before[name]) for name in found)
    assert len(lines) == 3
    assert "degrees" in lines[0]
    assert "click" not in " ".join(lines)


def test_is_a_function_of_the_seed(market_graph):
    first, again, other = trunk(market_graph), trunk(market_graph), trunk(market_graph, seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_weights_of_fine_tuning_do_not_touch_it(market_graph):
    (name, *_) = auxiliary_tasks(SETTINGS, market_graph.meta)
    weighted = TrainSettings.model_validate(
        {**TRAIN.model_dump(), "weighting": {"fixed": {"weights": {name: 9.0}}}}
    )
    plain = trunk(market_graph)
    found = pretrained_trunk(market_graph.store, "gcn", SETTINGS, weighted, 0, print)
    assert all(torch.equal(plain[key], found[key]) for key in plain)


@pytest.mark.parametrize("cell", ["single_task-gcn-fixed", "mmoe-gcn-uncertainty"])
def test_joint_models_and_twins_start_from_the_trunk(cell, market_graph, tmp_path):
    found = trunk(market_graph)
    path = trunk_path(tmp_path, "gcn", 0)
    path.parent.mkdir()
    write_trunk(path, found)
    trainer = CellTrainer(
        store=market_graph.store,
        cell=cell_named(cell),
        seeds=(0,),
        settings=TRAIN,
        target=tmp_path / "run",
        scratch=None,
        report=print,
        pretrained=tmp_path,
    )
    tasks = {"click": market_graph.meta.tasks["click"]}
    model = trainer._trainer(market_graph, tasks, TRAIN, 0).model
    for name, parameter in model.named_parameters():
        if name.startswith("encoder."):
            assert torch.equal(parameter, found[name])
    assert trainer._trainer(market_graph, tasks, TRAIN, 1).model is not None  # no trunk of seed 1
    with new_folder(trainer.target) as trainer.target:
        trainer.run()
    assert open_run(tmp_path / "run").config["trunks"] == {"0": sha256_of_file(path)}


def test_a_trunk_of_another_encoder_is_refused(market_graph, tmp_path):
    write_trunk(tmp_path / "t.safetensors", trunk(market_graph, encoder="gat"))
    tasks = {"click": market_graph.meta.tasks["click"]}
    trainer = Trainer(market_graph, cell_named("single_task-gcn-fixed"), tasks, TRAIN, seed=0)
    with pytest.raises(UserError, match="a trunk of another model"):
        load_trunk(tmp_path / "t.safetensors", trainer.model)


def test_nothing_to_learn_from_is_said(market_graph):
    nothing = PretrainSettings.model_validate({"epochs": 1, "tasks": []})
    with pytest.raises(UserError, match="nothing to learn from"):
        auxiliary_tasks(nothing, market_graph.meta)
    unknown = PretrainSettings.model_validate({"epochs": 1, "tasks": ["click"]})
    with pytest.raises(UserError, match="click is no auxiliary task"):
        auxiliary_tasks(unknown, market_graph.meta)


LABELLED = range(15)  # of the items


@pytest.fixture(scope="module")
def half_labelled(make_market, tmp_path_factory):
    """Stores whose topic has rows of half the items; in the second other edges go to these."""
    stores = []
    for turn in (1, 7):
        market = make_market()
        pairs = market.tables["tasks/click"].select("src", "dst").unique(maintain_order=True)
        of_labelled = pairs["dst"].is_in(list(LABELLED))
        moved = pl.when(of_labelled).then((pl.col("dst") + turn) % 15).otherwise(pl.col("dst"))
        topic = market.tables["tasks/topic"].filter(pl.col("id").is_in(list(LABELLED)))
        fields = market.schema.model_dump()
        market.rewrite(
            tasks={"topic": fields["tasks"]["topic"]},
            relations={
                "similar": fields["relations"]["similar"],
                "saw": {"src": "user", "dst": "item"},
            },
        )
        market.tables = {
            "nodes/user": market.tables["nodes/user"],
            "nodes/item": market.tables["nodes/item"],
            "relations/similar": market.tables["relations/similar"],
            "relations/saw": pairs.with_columns(dst=moved).unique(maintain_order=True),
            "tasks/topic": topic,
        }
        target = tmp_path_factory.mktemp("graph")
        build_graph(market.write(tmp_path_factory.mktemp("market")), BuildSettings(), target)
        stores.append(open_store(target))
    return stores


def test_labelled_nodes_have_a_row_in_some_split(half_labelled):
    store = half_labelled[0]
    first = store.meta.offsets["item"]
    assert 0 < len(store.rows("topic", "train")) < len(LABELLED)
    assert labelled_nodes(store).nonzero()[0].tolist() == [first + item for item in LABELLED]


def test_the_unlabelled_part_has_the_other_edges(half_labelled):
    store = half_labelled[0]
    labelled = labelled_nodes(store)

    def edges(arrays):
        found, indptr = set(), arrays["indptr"]
        for dst in range(store.meta.n_nodes):
            for place in range(indptr[dst], indptr[dst + 1]):
                edge = (dst, int(arrays["indices"][place]), int(arrays["etype"][place]))
                assert edge not in found
                found.add(edge)
        return found

    whole = edges(store.edges)
    wanted = {edge for edge in whole if not labelled[edge[0]] and not labelled[edge[1]]}
    assert 0 < len(wanted) < len(whole)
    assert edges(unlabelled_part(store).edges) == wanted


@pytest.mark.parametrize("fanouts", [None, (3, 3)], ids=str)
@pytest.mark.parametrize("kind", AUXILIARIES)
def test_objectives_see_and_ask_nothing_of_labelled_nodes(kind, fanouts, half_labelled):
    store = unlabelled_part(half_labelled[0])
    labelled = torch.from_numpy(labelled_nodes(store))
    settings = TrainSettings.model_validate(
        {
            "encoder": {"width": 8, "layers": 2},
            "auxiliaries": {"extra": {"kind": kind, "seeds": 24}},
            "fanouts": fanouts,
            "threads": 1,
        }
    )
    cell = cell_named("shared_bottom-gcn-fixed")
    trainer = Trainer(TrainingGraph(store), cell, {}, settings, seed=0)
    asked = 0
    for step in trainer.batches.epoch(0, trainer.model.depth, meta="none"):
        batch = step.auxiliary["extra"]
        for view in batch.views.values():
            if fanouts is None:
                ends = [torch.cat([b.csr.dst, b.csr.indices]) for b in view.blocks]
                outputs = torch.arange(store.meta.n_nodes)
            else:
                offsets = store.meta.offsets
                ends = [offsets[name] + inputs.ids for name, inputs in view.inputs.items()]
                outputs = view.rows
            assert not labelled[torch.cat(ends)].any()
            for name, tensor in batch.tensors.items():
                if name.endswith("seeds"):
                    assert not labelled[outputs[tensor]].any()
                    asked += len(tensor)
                if name.endswith((":pairs", ":negatives")):
                    assert not labelled[tensor].any()
                    asked += len(tensor)
    assert asked > 0


def test_edges_of_labelled_nodes_move_no_trunk_of_unlabelled_ones(half_labelled):
    objectives = {
        "edges": {"kind": "edge_generation", "seeds": 16, "queue": 8},
        "degrees": {"kind": "degree", "seeds": 16},
    }
    values = {"epochs": 2, "auxiliaries": objectives}
    found = {}
    for nodes in ("all", "unlabelled"):
        settings = PretrainSettings.model_validate({**values, "nodes": nodes})
        first, other = (
            pretrained_trunk(s, "gcn", settings, TRAIN, 0, print) for s in half_labelled
        )
        found[nodes] = all(torch.equal(first[name], other[name]) for name in first)
    assert found == {"all": False, "unlabelled": True}


def test_what_unlabelled_cannot_do_is_said(market_graph):
    settings = SETTINGS.model_copy(update={"nodes": "unlabelled"})
    with pytest.raises(UserError, match=r"rows of spend may be of any node; set pretrain.tasks"):
        auxiliary_tasks(settings, market_graph.meta)
    alone = settings.model_copy(update={"tasks": ()})
    with pytest.raises(UserError, match="leaves no edge: a target has rows of almost every node"):
        trunk(market_graph, settings=alone)


def test_objectives_alone_are_enough(market_graph):
    alone = SETTINGS.model_copy(update={"tasks": ()})
    lines: list[str] = []
    trunk(market_graph, settings=alone, lines=lines)
    assert "degrees" in lines[0]
    assert "spend" not in lines[0]
