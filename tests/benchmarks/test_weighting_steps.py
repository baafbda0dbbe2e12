"""The yardsticks do what the product's step does, or their times say nothing."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import weighting_steps
from counterpoint.graph.views import TrainingGraph
from counterpoint.nn.encoder import EncoderSettings
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named


def flat(parameters: list[Tensor]) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


@pytest.mark.parametrize("method", ["AUX-TS", "SELAR"])
def test_unrolled_steps_have_the_gradients_of_ours(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in {"USERS": 30, "ITEMS": 20, "LINKS": 200, "ROWS": 60}.items():
        monkeypatch.setattr(weighting_steps, name, size)
    store = weighting_steps.random_store(tmp_path, auxiliaries=2)
    graph = TrainingGraph(store)
    found = {}
    for arm in (method, f"{method} unrolled", f"{method} unrolled on a copy"):
        weighting, values = weighting_steps.ARMS[arm]
        settings = TrainSettings(
            batch_size=32, weighting={weighting: values}, encoder=EncoderSettings(dropout=0.0)
        )
        cell = cell_named(f"shared_bottom-gcn-{weighting}")
        trainer = Trainer(graph, cell, store.meta.tasks, settings, seed=0)
        weighting_steps.step_of(arm, trainer)()
        of_weights = flat(list(trainer.weighting.network.parameters()))
        found[arm] = of_weights, flat(list(trainer.parameters.values()))
    for theirs in list(found.values())[1:]:
        for ours, other in zip(found[method], theirs, strict=True):
            assert ours.norm() > 0
            assert (ours - other).norm() < 1e-5 * ours.norm()
