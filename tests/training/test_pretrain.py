"""Pre-training: what it learns from, and that every model of the encoder starts there."""

import pytest
import torch

from counterpoint.errors import UserError
from counterpoint.training.cell import CellTrainer
from counterpoint.training.loop import Trainer
from counterpoint.training.pretrain import (
    PretrainSettings,
    auxiliary_tasks,
    load_trunk,
    pretrained_trunk,
    trunk_path,
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
