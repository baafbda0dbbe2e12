"""Time of a training step of MMoE and PLE on categorical fields, beside two libraries'.

16 fields of 1000 categories, embeddings of 16, 8 experts of 128 (PLE: two levels, 3 own a task and
2 shared), two tasks, batches of 2048; forward, backward and optimiser, all with the same Adam. The
arms take turns, medians are compared. All start from our weights, so the benchmark is also a test:
it ends with 1 unless predictions and first losses are equal.

What the libraries do otherwise is made equal, never to their disadvantage: torch-rechub normalises
each layer by its batch, logits of gates too, and that is taken out; DeepCTR-Torch's gates have no
bias, and its PLE as many shared experts as own ones, whatever it is told (one is idle here; with
more shared than own it raises IndexError), and a gate above the last level that nothing reads.
Ours clips gradients besides.

They are no dependency of Counterpoint, and asked for nowhere else. In a virtual environment that
sees Counterpoint's packages:

    pip install --no-deps torch-rechub==0.9.0 deepctr-torch==0.3.0
    python -m benchmarks.recommendation_steps --json benchmarks/results/recommendation_steps.json
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.stores import store_of
from counterpoint.files import write_json
from counterpoint.graph.store import GraphStore
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Step
from counterpoint.nn.experts import SLOPE, Experts, Gates
from counterpoint.nn.inputs import Categories
from counterpoint.training.loop import Trainer
from counterpoint.training.process import prepare_process
from counterpoint.training.settings import TrainSettings, cell_named

FIELDS, CATEGORIES, DIM, WIDTH, TOWER, BATCH = 16, 1000, 16, 128, 64, 2048
EXPERTS, LEVELS, OWN, SHARED = 8, 2, 3, 2
TASKS = ("buy", "click")  # sorted, as a store has them: the order of PLE's shared gate
ADAM = {"lr": 1e-3, "weight_decay": 1e-5}
LIBRARIES = ("torch-rechub", "deepctr-torch")
LIMIT, EQUAL = 0.9, 1e-6
Arm = Callable[[], list[float]]  # takes a step, says the tasks' losses before it
Linears = list[tuple[Tensor, Tensor | None]]  # weight [out, in] and bias


class Leaky(nn.LeakyReLU):
    """Our experts' activation, as a class that both libraries take."""

    def __init__(self) -> None:
        super().__init__(SLOPE)


def random_store(folder: Path) -> GraphStore:
    """A table of impressions with random categories and labels; no graph."""
    rng = np.random.default_rng(0)
    names = [f"f{k}" for k in range(FIELDS)]
    schema = {
        "name": "impressions",
        "node_types": {
            "row": {"features": [{"name": name, "kind": "categorical"} for name in names]}
        },
        "relations": {},
        "tasks": {task: {"kind": "binary", "entity": "row"} for task in TASKS},
        "split": {"by": "given"},
    }
    split = ["train"] * 10 * BATCH + ["valid"] * 100 + ["test"] * 100
    n = len(split)
    # a category more stands for all that training has not seen
    codes = {name: rng.integers(CATEGORIES - 1, size=n) for name in names}
    tables = {"nodes/row": pl.DataFrame({"id": np.arange(n), **codes})}
    for task in TASKS:
        labels = {"id": np.arange(n), "label": rng.integers(0, 2, n), "split": split}
        tables[f"tasks/{task}"] = pl.DataFrame(labels)
    return store_of(folder, schema, tables)


def our_trainer(store: GraphStore, name: str) -> Trainer:
    settings = TrainSettings.model_validate(
        {
            "encoder": {"field_width": DIM, "dropout": 0.0},
            "sharing": {
                "width": WIDTH,
                "tower_width": TOWER,
                "experts": EXPERTS,
                "levels": LEVELS,
                "own_experts": OWN,
                "shared_experts": SHARED,
            },
            "learning_rate": ADAM["lr"],
            "weight_decay": ADAM["weight_decay"],
            "batch_size": BATCH,
            "fanouts": [],
        }
    )
    cell = cell_named(f"{name.lower()}-fields-fixed")
    trainer = Trainer(TrainingGraph(store), cell, store.meta.tasks, settings, seed=0)
    model: Any = trainer.model
    for module in model.modules():
        if isinstance(module, Gates):  # uniform ones would hide experts in another order
            nn.init.normal_(module.linear.weight, std=0.1)
        if isinstance(module, Categories):  # small ones predict one half, whatever comes after
            nn.init.normal_(module.weight)
    for task in TASKS:  # DeepCTR-Torch has this bias elsewhere, where it begins at 0
        nn.init.zeros_(model.towers[task].mlp[2].bias)
    return trainer


def our_linears(model: Any, name: str) -> Linears:
    """Experts, gates, towers; PLE's level by level, own before shared."""

    def of_experts(experts: Experts) -> Linears:
        return [(w.T, b) for w, b in zip(experts.weight, experts.bias, strict=True)]

    if name == "MMoE":
        found = of_experts(model.sharing)
        gates = [model.private[task].linear for task in TASKS]
        found += [(gate.weight, gate.bias) for gate in gates]
    else:
        found = []
        for level in model.sharing:
            for experts in (*(level.own[task] for task in TASKS), level.shared):
                found += of_experts(experts)
            gates = [level.gates[task].linear for task in TASKS]
            gates += [] if level.shared_gate is None else [level.shared_gate.linear]
            found += [(gate.weight, gate.bias) for gate in gates]
    layers = [model.towers[task].mlp[place] for task in TASKS for place in (0, 2)]
    return found + [(layer.weight, layer.bias) for layer in layers]


def rechub(name: str, vocabularies: tuple[int, ...]) -> tuple[nn.Module, list[nn.Linear]]:
    """torch-rechub's model without its batch normalisation, and its layers in our order."""
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import MMOE, PLE

    fields = [SparseFeature(f"f{k}", size, DIM) for k, size in enumerate(vocabularies)]
    kinds = ["classification"] * len(TASKS)
    experts = {"dims": [WIDTH], "activation": Leaky}
    towers = [{"dims": [TOWER], "activation": "relu"} for _ in TASKS]
    if name == "MMoE":
        model = MMOE(fields, kinds, EXPERTS, experts, towers)
    else:
        model = PLE(fields, kinds, LEVELS, OWN, SHARED, experts, towers)
    for sequence in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for place, layer in enumerate(sequence):
            if isinstance(layer, nn.BatchNorm1d):
                sequence[place] = nn.Identity()
    return model, [m for m in model.modules() if isinstance(m, nn.Linear)]


def deepctr(name: str, vocabularies: tuple[int, ...]) -> tuple[nn.Module, list[nn.Linear]]:
    """DeepCTR-Torch's model, and its layers in our order."""
    with patch("threading.Thread.start"):  # it asks PyPI for its newest version
        from deepctr_torch.inputs import SparseFeat
        from deepctr_torch.models import MMOE, PLE

    fields = [SparseFeat(f"f{k}", size, DIM) for k, size in enumerate(vocabularies)]
    shape = {
        "expert_dnn_hidden_units": (WIDTH,),
        "gate_dnn_hidden_units": (),
        "tower_dnn_hidden_units": (TOWER,),
        "dnn_activation": Leaky,
        "l2_reg_embedding": 0.0,  # decay is the optimiser's, as for the others
        "task_names": TASKS,
    }
    if name == "MMoE":
        model = MMOE(fields, num_experts=EXPERTS, **shape)
        found = [expert.linears[0] for expert in model.expert_dnn]
        found += model.gate_dnn_final_layer
    else:
        model = PLE(fields, SHARED, OWN, LEVELS, **shape)
        found = []
        for level in range(LEVELS):
            own = [expert for of_task in model.specific_experts[level] for expert in of_task]
            shared = list(model.shared_experts[level][0])[:SHARED]
            found += [expert.linears[0] for expert in own + shared]
            found += model.specific_gate_dnn_final_layer[level]
            found += [model.shared_gate_dnn_final_layer[level]] if level + 1 < LEVELS else []
    for tower, last in zip(model.tower_dnn, model.tower_dnn_final_layer, strict=True):
        tower.activation_layers[0] = nn.ReLU(inplace=True)
        found += [tower.linears[0], last]
    return model, found


@torch.no_grad()
def copy_weights(trainer: Trainer, name: str, model: nn.Module, layers: list[nn.Linear]) -> None:
    """Give a library's model our weights; a bias that it does not have is 0 in ours."""
    ours: Any = trainer.model
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    parts = ours.encoder.input.types["row"].codes.weight.split([len(t.weight) for t in tables])
    for table, part in zip(tables, parts, strict=True):
        table.weight.copy_(part)
    for layer, (weight, bias) in zip(layers, our_linears(ours, name), strict=True):
        assert layer.weight.shape == weight.shape
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)
        else:
            assert not bias.any()


def library_arm(model: nn.Module, inputs: Any, labels: Tensor) -> Arm:
    """A step as both libraries' trainers write it."""
    optimizer = torch.optim.Adam(model.parameters(), **ADAM)
    model.train()

    def step() -> list[float]:
        predicted = model(inputs)
        losses = [
            F.binary_cross_entropy(predicted[:, task], labels[:, task])
            for task in range(len(TASKS))
        ]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        return [loss.item() for loss in losses]

    return step


def rows_of(step: Step) -> tuple[Tensor, Tensor]:
    """Codes ``[n, fields]`` and labels ``[n, tasks]`` of a step, row by row."""
    batches = [step.batches[task] for task in TASKS]
    first = batches[0]
    assert all(torch.equal(first.entity, batch.entity) for batch in batches)
    codes = first.view.inputs["row"].codes
    assert codes is not None
    return codes[first.entity], torch.stack([batch.label for batch in batches], dim=1)


def measured(store: GraphStore, name: str, repeats: int) -> dict[str, Any]:
    """Median milliseconds of a step of each arm, and how far predictions and losses are apart."""
    trainer = our_trainer(store, name)
    trainer.trained.train()
    step = trainer.batches.step(0, 0, depth=0, meta="none")
    codes, labels = rows_of(step)
    vocabularies = store.meta.node_types[0].vocabularies
    with torch.no_grad():
        logits = trainer.model(step).logits
        ours = torch.sigmoid(torch.stack([logits[task] for task in TASKS], dim=1))

    def our_step() -> list[float]:
        losses = trainer.take_step(step).losses
        return [losses[task] for task in TASKS]

    arms: dict[str, Arm] = {"Counterpoint": our_step}
    inputs = ({f"f{k}": column for k, column in enumerate(codes.T)}, codes.float())
    apart = {}
    for library, made, given in zip(LIBRARIES, (rechub, deepctr), inputs, strict=True):
        model, layers = made(name, vocabularies)
        copy_weights(trainer, name, model, layers)
        with torch.no_grad():
            apart[library] = float((model(given) - ours).abs().max())
        arms[library] = library_arm(model, given, labels)
    first = {arm: take() for arm, take in arms.items()}
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(repeats):
        for arm, take in arms.items():
            started = time.perf_counter()
            take()
            times[arm].append(1000 * (time.perf_counter() - started))
    medians = {arm: statistics.median(found) for arm, found in times.items()}
    ratio = medians["Counterpoint"] / min(medians[library] for library in LIBRARIES)
    return {"model": name, "milliseconds": medians, "ratio": ratio, "apart": apart, "first": first}


def check_equal(found: dict[str, Any]) -> None:
    """End with 1 if a library's predictions or first losses are not ours."""
    ours = found["first"]["Counterpoint"]
    for library in LIBRARIES:
        losses = zip(found["first"][library], ours, strict=True)
        apart = max(found["apart"][library], *(abs(a - b) for a, b in losses))
        if apart > EQUAL:
            sys.exit(f"{found['model']} and {library}'s are {apart:.1e} apart; nothing is compared")


def main() -> None:
    """Measure both models and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=31)
    arguments = parser.parse_args()
    try:
        versions = {name: version(name) for name in (*LIBRARIES, "torch")}
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed; the first lines of {__file__} say how")
    prepare_process(2)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = random_store(Path(folder))
        for name in ("MMoE", "PLE"):
            found.append(measured(store, name, arguments.repeats))
            check_equal(found[-1])
    promises = [
        {"name": row["model"], "ratio": row["ratio"], "limit": LIMIT, "kept": row["ratio"] <= LIMIT}
        for row in found
    ]
    for row, promise in zip(found, promises, strict=True):
        print({arm: round(time, 1) for arm, time in row["milliseconds"].items()}, "ms")
        state = "kept" if promise["kept"] else "MISSED"
        print(f"{promise['name']}: {promise['ratio']:.2f}, promised {LIMIT}: {state}")
    if arguments.json:
        versions["python"] = platform.python_version()
        apart = max(far for row in found for far in row["apart"].values())
        result = {
            "threads": 2,
            "versions": versions,
            "apart": apart,
            "models": found,
            "promises": promises,
        }
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
