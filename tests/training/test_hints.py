"""Hint networks beside a model: from training rows alone, trained, resumable, thrown away."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from counterpoint.errors import UserError
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.models import ARCHITECTURES, SINGLE_TASK, fitting_encoders
from counterpoint.nn.hints import HintSettings
from counterpoint.training.hints import make_hints, popularity_in_train
from counterpoint.training.loop import Trainer
from counterpoint.training.settings import TrainSettings, cell_named

HELPED = ("co_click", "alike")
SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 8, "layers": 1, "dropout": 0.2},
        "sharing": {"width": 7, "tower_width": 8, "experts": 2},
        "batch_size": 100,
        "epochs": 3,
        "threads": 1,
        "weighting": {"selar_hint": {"hidden": 8}, "selar": {"hidden": 8}},
    }
)


@pytest.fixture(scope="module")
def graph(make_market, tmp_path_factory) -> TrainingGraph:
    """The market with two meta-path tasks."""
    folder = make_market().write(tmp_path_factory.mktemp("market"))
    target = tmp_path_factory.mktemp("graph")
    paths = {
        "co_click": {"path": "user-item-user", "positives": 200},
        "alike": {"path": "item-user-item", "positives": 150},
    }
    build = BuildSettings.model_validate({"candidate_count": 5, "metapaths": paths})
    build_graph(folder, build, target)
    return TrainingGraph(open_store(target))


def trainer(graph: TrainingGraph, cell: str = "shared_bottom-gcn-selar_hint", **changes) -> Trainer:
    settings = SETTINGS.model_copy(update=changes)
    return Trainer(graph, cell_named(cell), graph.meta.trained, settings, seed=3)


def equal(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_hubs_are_counted_in_training_rows_alone(graph: TrainingGraph):
    asked = []

    class Watched:
        meta = graph.meta

        def rows(self, task, split):
            asked.append((task, split))
            return graph.store.rows(task, split)

    popularity, users = popularity_in_train(Watched(), "click")
    assert asked == [("click", "train")]
    rows = graph.store.rows("click", "train")
    counts = Counter(
        int(pair[1]) for pair, label in zip(rows.entity, rows.label, strict=True) if label == 1
    )
    start = graph.meta.offsets["item"]
    expected = {start + item: n for item, n in counts.items()}
    assert {int(k): int(popularity[k]) for k in popularity.nonzero()} == expected
    first = graph.meta.offsets["user"]
    assert users.nonzero().flatten().tolist() == list(range(first, first + 40))


@pytest.mark.parametrize(
    ("architecture", "fanouts"),
    [*((name, None) for name in ARCHITECTURES if name != SINGLE_TASK), ("shared_bottom", (3,))],
)
def test_every_architecture_trains_with_hints(graph: TrainingGraph, architecture, fanouts):
    """What should learn moves: model, hint networks, V and V_H, all of every one of them."""
    fitting = fitting_encoders(architecture)
    encoder = "gcn" if "gcn" in fitting else fitting[-1]
    made = trainer(graph, f"{architecture}-{encoder}-selar_hint", fanouts=fanouts, weight_decay=0.0)
    modules = {"trained": made.trained, "weighting": made.weighting}
    before = {
        (kind, name): p.detach().clone()
        for kind, module in modules.items()
        for name, p in module.named_parameters()
    }
    losses = made.run_epoch(0) + made.run_epoch(1)
    assert all(torch.isfinite(torch.tensor(row["value"])) for row in losses)
    said = {row["name"] for row in losses}
    assert {f"model_share/{task}" for task in HELPED} <= said
    still = [
        (kind, name)
        for kind, module in modules.items()
        for name, p in module.named_parameters()
        if torch.equal(p, before[kind, name])
    ]
    # items hear of nobody, so what alike asks of a user's side of attention is never used; a_dst
    # adds the same to all logits of a node, and counts only where LeakyReLU bends some of them
    idle = [name for _, name in still if "[alike]" not in name and not name.endswith("a_dst")]
    assert idle == []
    assert {name.rsplit(".", 1)[-1] for _, name in still} <= {"a_src", "a_dst", "weight"}


def test_the_hint_is_part_of_its_tasks_tower(graph: TrainingGraph):
    made = trainer(graph)
    groups = made.groups
    everything = [name for group in groups if group != "last_shared" for name in groups[group]]
    assert sorted(everything) == sorted(made.parameters)
    for task in HELPED:
        assert any("hints" in name for name in groups[f"tower:{task}"])
    assert not any("hints" in name for name in groups["tower:click"])


def test_a_killed_run_goes_on_to_the_same_bits(graph: TrainingGraph, tmp_path: Path):
    whole = trainer(graph)
    fit = whole.fit()
    checkpoint = tmp_path / "c.safetensors"

    class KilledError(Exception):
        pass

    def killer(epoch: int, score: float) -> None:
        if epoch == 1:
            raise KilledError

    with pytest.raises(KilledError):
        trainer(graph).fit(checkpoint, every_seconds=0, report=killer)
    again = trainer(graph)
    resumed = again.fit(checkpoint, every_seconds=1e9)
    assert fit.history == resumed.history
    assert equal(fit.model.state_dict(), resumed.model.state_dict())
    assert equal(whole.trained.state_dict(), again.trained.state_dict())
    assert equal(dict(whole.weighting.named_parameters()), dict(again.weighting.named_parameters()))
    assert not any("hint" in name for name in fit.model.state_dict())


def test_with_a_share_of_1_the_model_is_selars(graph: TrainingGraph):
    """Same initialisation, batches and dropout; in float32, so but for rounding."""
    plain, hint = trainer(graph, "shared_bottom-gcn-selar"), trainer(graph)
    assert equal(plain.model.state_dict(), hint.model.state_dict())
    with torch.no_grad():
        hint.weighting.mixer[2].bias.fill_(100.0)
    said = [made.run_epoch(0) for made in (plain, hint)]
    shared = {(row["task"], row["name"]): row["value"] for row in said[1]}
    assert shared["", "model_share/alike"] == 1.0
    for row in said[0]:
        assert shared[row["task"], row["name"]] == pytest.approx(row["value"], rel=1e-4, abs=1e-6)
    state = plain.model.state_dict()
    for name, tensor in hint.model.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-3, atol=1e-4)


def test_no_task_to_help_or_no_hubs(graph: TrainingGraph):
    meta = graph.meta
    with pytest.raises(UserError, match="no such auxiliary task: take selar"):
        make_hints(graph.store, meta.tasks, 4, HintSettings())
    helped = {"co_click": meta.trained["co_click"], "topic": meta.tasks["topic"]}
    with pytest.raises(UserError, match="no such target: take selar"):
        make_hints(graph.store, helped, 4, HintSettings())


def test_bf16_trains(graph: TrainingGraph):
    rows = trainer(graph, bf16=True).run_epoch(0)
    assert all(torch.isfinite(torch.tensor(row["value"])) for row in rows)
