"""The loop: reproducible, resumable to the same bits, and it learns."""

from pathlib import Path

import pytest
import torch

from counterpoint.errors import UserError
from counterpoint.graph.views import TrainingGraph
from counterpoint.models import BLOCKS, fitting_encoders
from counterpoint.nn.encoders import EncoderSettings
from counterpoint.training.checkpoint import read_checkpoint, write_checkpoint
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 8, "layers": 1, "dropout": 0.2},
        "sharing": {"width": 8, "tower_width": 8, "experts": 2},
        "batch_size": 100,
        "epochs": 4,
        "threads": 1,
        "weighting": {"aux_ts": {"hidden": 8}},
    }
)
CELLS = ["shared_bottom-gcn-fixed", "mmoe-hgn-uncertainty", "shared_bottom-gat-aux_ts"]


def trainer(graph: TrainingGraph, cell: str, **changes: object) -> Trainer:
    settings = SETTINGS.model_copy(update=changes)
    return Trainer(graph, cell_named(cell), graph.meta.tasks, settings, seed=3)


def state(made: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("fanouts", [None, (3,)])
def test_same_seed_same_bits(
    market_graph: TrainingGraph, cell: str, fanouts: tuple[int, ...] | None
) -> None:
    runs = []
    for noise in (0, 1):
        torch.manual_seed(noise)  # the caller's random state must not matter
        runs.append(trainer(market_graph, cell, epochs=2, fanouts=fanouts).fit())
    assert equal(runs[0].model.state_dict(), runs[1].model.state_dict())
    assert runs[0].history == runs[1].history


def test_sgd_has_momentum_and_a_killed_run_keeps_it(
    market_graph: TrainingGraph, tmp_path: Path
) -> None:
    made = trainer(market_graph, CELLS[0], weight_decay=0.0, optimizer="sgd", clip=1e9)
    made.trained.train()
    velocity = {name: torch.zeros_like(tensor) for name, tensor in made.parameters.items()}
    for number in range(3):
        before = {name: tensor.detach().clone() for name, tensor in made.parameters.items()}
        made.take_step(made.batches.step(0, number, depth=made.model.depth, meta="none"))
        for name, tensor in made.parameters.items():
            assert tensor.grad is not None
            velocity[name] = 0.9 * velocity[name] + tensor.grad
            expected = before[name] - made.settings.learning_rate * velocity[name]
            torch.testing.assert_close(tensor.detach(), expected, msg=name)

    checkpoint = tmp_path / "c.safetensors"
    whole = trainer(market_graph, CELLS[0], optimizer="sgd", epochs=4).fit()
    trainer(market_graph, CELLS[0], optimizer="sgd", epochs=2).fit(checkpoint, every_seconds=0)
    resumed = trainer(market_graph, CELLS[0], optimizer="sgd", epochs=4).fit(checkpoint)
    assert equal(whole.model.state_dict(), resumed.model.state_dict())


def test_a_step_is_adams_whatever_the_strides_of_gradients(market_graph: TrainingGraph) -> None:
    made = trainer(market_graph, "mmoe-gcn-fixed", weight_decay=0.0)
    made.trained.train()
    before = {name: tensor.detach().clone() for name, tensor in made.parameters.items()}
    made.take_step(made.batches.step(0, 0, depth=made.model.depth, meta="none"))
    grads = {name: tensor.grad for name, tensor in made.parameters.items()}
    assert not all(grad is None or grad.is_contiguous() for grad in grads.values())
    for name, grad in grads.items():
        assert grad is not None
        expected = before[name] - made.settings.learning_rate * grad / (grad.abs() + 1e-8)
        torch.testing.assert_close(made.parameters[name].detach(), expected, msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_a_killed_run_goes_on_to_the_same_bits(
    market_graph: TrainingGraph, cell: str, tmp_path: Path
) -> None:
    whole = trainer(market_graph, cell)
    fit = whole.fit()
    checkpoint = tmp_path / "c.safetensors"

    class KilledError(Exception):
        pass

    def killer(epoch: int, score: float) -> None:
        if epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        trainer(market_graph, cell).fit(checkpoint, every_seconds=0, report=killer)
    again = trainer(market_graph, cell)
    resumed = again.fit(checkpoint, every_seconds=1e9)
    assert again.progress.epoch == 4
    assert equal(fit.model.state_dict(), resumed.model.state_dict())
    assert fit.history == resumed.history
    states = [dict(made.weighting.named_parameters()) for made in (whole, again)]
    assert equal(states[0], states[1])


def test_seeds_differ(market_graph: TrainingGraph) -> None:
    made = [
        Trainer(market_graph, cell_named(CELLS[0]), market_graph.meta.tasks, SETTINGS, seed)
        for seed in (0, 1)
    ]
    assert not equal(state(made[0]), state(made[1]))


def test_joint_model_and_twin_start_from_the_same_encoder(market_graph: TrainingGraph) -> None:
    task = {"click": market_graph.meta.tasks["click"]}
    twin = Trainer(market_graph, cell_named("single_task-gcn-fixed"), task, SETTINGS, 3)
    joint = trainer(market_graph, CELLS[0])
    encoder = {name: t for name, t in state(twin).items() if name.startswith("encoder.")}
    assert encoder
    assert equal(encoder, state(joint))


def test_what_should_learn_moves_and_loss_falls(market_graph: TrainingGraph) -> None:
    # without weight decay, which makes Adam move what has no gradient too
    changes = {"learning_rate": 0.02, "weight_decay": 0.0, "epochs": 15, "patience": 15}
    made = trainer(market_graph, CELLS[0], **changes)
    before = state(made)
    history = made.fit().history
    moved = [
        name
        for name, tensor in made.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    ]
    assert set(moved) == set(before)
    losses = [row["value"] for row in history if row["name"] == "loss" and row["task"] == "click"]
    assert losses[-1] < losses[0] - 0.02


def parameters(made: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in made.named_parameters()}


def unmoved(made: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in made.named_parameters() if torch.equal(tensor, before[name])}


@pytest.mark.parametrize("weighting", ["uncertainty", "aux_ts"])
@pytest.mark.parametrize("body", ["dephn-gcn", "snr-gcn", "mogenet-mgnn", "esmm-gcn"])
def test_two_steps_move_model_and_weighting(
    similar_graph: TrainingGraph, body: str, weighting: str
) -> None:
    """Without weight decay, which makes Adam move what has no gradient too."""
    tasks = {name: similar_graph.meta.tasks[name] for name in ("click", "buy", "topic")}
    tasks["topic"] = tasks["topic"].model_copy(update={"role": "auxiliary"})
    settings = SETTINGS.model_copy(update={"weight_decay": 0.0, "batch_size": 180})
    made = Trainer(similar_graph, cell_named(f"{body}-{weighting}"), tasks, settings, seed=3)
    assert made.batches.steps == 2
    model, own = parameters(made.trained), parameters(made.weighting)
    assert own
    losses = [row["value"] for row in made.run_epoch(0) if row["name"] == "loss"]
    assert torch.tensor(losses).isfinite().all()
    assert len(losses) == len(tasks)
    assert not unmoved(made.trained, model)
    assert not unmoved(made.weighting, own)
    learned = (*made.trained.parameters(), *made.weighting.parameters())
    assert all(tensor.isfinite().all() for tensor in learned)


def test_a_step_on_sampled_views_moves_the_channels_of_similarity(
    similar_graph: TrainingGraph,
) -> None:
    """And all else, but what lies below the last layer of a gate, which begins at zero."""
    changes = {"weight_decay": 0.0, "batch_size": 1000, "fanouts": (3,)}
    made = trainer(similar_graph, "mogenet-mgnn-fixed", **changes)
    assert made.batches.steps == 1
    assert len(made.model.encoder.layers) == 3
    before = parameters(made.model)
    losses = [row["value"] for row in made.run_epoch(0) if row["name"] == "loss"]
    assert torch.tensor(losses).isfinite().all()
    gates = {f"private.[{task}]" for task in made.tasks}
    hidden = {f"{g}.{layer}.{of}" for g in gates for layer in (0, 2) for of in ("weight", "bias")}
    assert unmoved(made.model, before) == hidden
    assert all(tensor.isfinite().all() for tensor in made.model.state_dict().values())


@pytest.mark.parametrize("architecture", BLOCKS)
def test_exchange_inside_graph_layers_learns_from_sampled_neighbours(
    market_graph: TrainingGraph, architecture: str
) -> None:
    cell = f"{architecture}-{fitting_encoders(architecture)[-1]}-fixed"
    encoder = EncoderSettings(width=8, layers=2, dropout=0.2)
    # no decay, which would move what no loss reaches
    made = trainer(market_graph, cell, encoder=encoder, fanouts=(3, 2), weight_decay=0.0)
    before = state(made)
    losses = {row["task"]: row["value"] for row in made.run_epoch(0) if row["name"] == "loss"}
    assert set(losses) >= set(market_graph.meta.tasks)
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    after = state(made)
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not [name for name in after if torch.equal(after[name], before[name])]


def test_patience_ends_training_and_the_best_epoch_is_kept(market_graph: TrainingGraph) -> None:
    made = trainer(market_graph, CELLS[0], epochs=50, patience=2, learning_rate=0.05)
    fit = made.fit()
    assert made.progress.epoch < 50
    assert made.progress.epoch == fit.epoch + 3
    assert made.validate(99) == pytest.approx(fit.score, abs=1e-7)


def test_fanouts_must_fit_the_encoder(market_graph: TrainingGraph) -> None:
    with pytest.raises(UserError, match="2 numbers for an encoder of 1 graph layers"):
        trainer(market_graph, CELLS[0], fanouts=(3, 3))


def test_bf16_trains(market_graph: TrainingGraph) -> None:
    fit = trainer(market_graph, CELLS[1], bf16=True, epochs=1).fit()
    assert all(torch.isfinite(t).all() for t in fit.model.state_dict().values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_cuda_agrees_with_the_cpu(market_graph: TrainingGraph) -> None:
    gpu = TrainingGraph(market_graph.store, "cuda")
    scores = [trainer(graph, CELLS[0], epochs=2).fit().score for graph in (market_graph, gpu)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_a_checkpoint_restores_nested_state(tmp_path: Path) -> None:
    nested = {"a": [1, 2.5, None, "x", True], "b": {0: {"c": torch.eye(2)}}, "d": torch.zeros(())}
    write_checkpoint(tmp_path / "c", nested)
    found = read_checkpoint(tmp_path / "c")
    assert found is not None
    assert found["a"] == nested["a"]
    assert torch.equal(found["b"][0]["c"], torch.eye(2))
    assert found["d"].shape == ()
    assert read_checkpoint(tmp_path / "none") is None
