"""Diagnostics against closed forms on a linear problem, whose gradients are known."""

import pytest
import torch
from torch import nn

from counterpoint.training.diagnostics import conflicts
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named
from counterpoint.weighting import Losses, Problem

RATE = 0.1


def linear(rows: dict[str, torch.Tensor]) -> Problem:
    """Losses ``x_n . w`` of examples, whose gradients are the x themselves."""
    w = nn.Parameter(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))

    def losses(at):
        return Losses({task: x @ at["w"] for task, x in rows.items()})

    groups = {"shared": ["w"], "last_shared": ["w"], **{f"tower:{task}": [] for task in rows}}
    return Problem(losses, losses, {"w": w}, groups, learning_rate=RATE)


def drawn(n, mean, seed):
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise + torch.tensor(mean, dtype=torch.float64)


def test_closed_forms():
    rows = {"a": drawn(5, [1, 1, 1], 0), "b": drawn(4, [1, -1, 0], 1)}
    a, b = (x.mean(0) for x in rows.values())
    found = conflicts(linear(rows))
    w = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert found["norm/a"] == pytest.approx(float(a.norm()))
    assert found["cosine/b~a"] == pytest.approx(float(a @ b / a.norm() / b.norm()))
    assert found["sign_agreement/b~a"] == pytest.approx(float(((a * b) > 0).double().mean()))
    for task, g in (("a", a), ("b", b)):
        expected = 1 - float(g @ (w - RATE * a)) / float(g @ w)
        assert found[f"affinity/a>{task}"] == pytest.approx(expected)


def test_noise_scale_is_variance_over_signal_on_average():
    """Its two parts are unbiased, so with many draws their ratio is 3 / |mean|^2."""
    mean = [2.0, 1.0, 0.0]
    found = [
        conflicts(linear({"a": drawn(64, mean, seed)}))["noise_scale/a"] for seed in range(200)
    ]
    assert sum(found) / len(found) == pytest.approx(3 / 5, rel=0.15)


def test_an_example_alone_has_no_noise_scale():
    found = conflicts(linear({"a": drawn(1, [1, 1, 1], 0), "b": drawn(0, [1, 1, 1], 0)}))
    assert "noise_scale/a" not in found
    assert found["norm/b"] == 0


def test_looking_changes_nothing(market_graph):
    """Dropout included: the same bits with and without, and the history has every number."""
    states, names = [], []
    for every in (0, 2):
        settings = TrainSettings.model_validate(
            {
                "encoder": {"width": 8, "layers": 1, "dropout": 0.3},
                "epochs": 2,
                "batch_size": 64,
                "diagnose_every": every,
            }
        )
        tasks = {name: market_graph.meta.tasks[name] for name in ("click", "buy")}
        fit = Trainer(market_graph, cell_named("mmoe-gcn-fixed"), tasks, settings, 0).fit()
        states.append(fit.model.state_dict())
        names.append({row["name"].split("/")[0] for row in fit.history})
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key])
    assert names[1] - names[0] == {"norm", "cosine", "sign_agreement", "noise_scale", "affinity"}
