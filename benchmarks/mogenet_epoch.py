"""Time of a MoGENet epoch on taobao4, beside its parts timed alone.

View and purchase, all behaviours as edges, similarity graphs of users and of items at METHODS
C.1's thresholds for small data; the whole graph in each step, batches of 32,768, two negatives.
The parts: an epoch of MMoE on features alone, with all that an epoch costs, and for each channel
of the graph network an encoder of it alone over the same steps: forward, backward and optimiser,
without the making of batches and views, which is in MMoE's time. MMoE is the paper's, whose
experts see pairs (C.6; MoGENet without graph experts, C.3), and beside it the product's, whose
experts see nodes, fewer than pairs. The arms take turns, medians are compared.

    python -m benchmarks.mogenet_epoch --json benchmarks/results/mogenet_epoch.json
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import DATA
from counterpoint.data.folder import open_folder
from counterpoint.data.importers import import_dataset
from counterpoint.files import new_folder, write_json
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.models.contract import Step
from counterpoint.models.mogenet_settings import MoGENetSettings
from counterpoint.nn.mgnn import MGNN
from counterpoint.training.loop import Trainer
from counterpoint.training.process import prepare_process
from counterpoint.training.settings import TrainSettings, cell_named

SMALL_DATA = {"top": 10, "min_overlap": 2, "min_degree": 3}
BUILD = BuildSettings.model_validate(
    {
        "candidates": "all",
        "auxiliaries": [],
        "similarities": {f"similar_{of}": {"of": of, **SMALL_DATA} for of in ("user", "item")},
    }
)
SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 32, "layers": 2, "dropout": 0.0},
        "sharing": {"width": 32, "tower_width": 32, "experts": 4},
        "batch_size": 32768,
        "negatives": 2,
    }
)
ON_PAIRS = SETTINGS.model_copy(
    update={
        "encoder": SETTINGS.encoder.model_copy(update={"layers": 0}),
        "sharing": SETTINGS.sharing.model_copy(
            update={"mogenet": MoGENetSettings(graph_experts=0, balance=0.0)}
        ),
    }
)
WHOLE, MMOES = "MoGENet", ("MMoE on pairs", "MMoE on nodes")
CHANNELS = ("bipartite channel", "channel of similar users", "channel of similar items")
LIMIT = 1.2
Arm = Callable[[], object]  # one epoch


def taobao4(data: Path, folder: Path) -> GraphStore:
    import_dataset("taobao4", data / "taobao4_mb", folder / "data")
    with new_folder(folder / "graph") as scratch:
        build_graph(open_folder(folder / "data"), BUILD, scratch)
    return open_store(folder / "graph")


def trainer_of(graph: TrainingGraph, cell: str, settings: TrainSettings) -> Trainer:
    return Trainer(graph, cell_named(cell), graph.meta.tasks, settings, seed=0)


def encoder_alone(graph: TrainingGraph, steps: list[Step], number: int) -> Arm:
    """An encoder with one channel over the views of the steps, its output pulled one way."""
    encoder = MGNN(graph.meta, SETTINGS.encoder)
    encoder_input, channel = encoder.input, encoder.layers[number]
    parameters = [*encoder_input.parameters(), *channel.parameters()]
    optimizer = torch.optim.Adam(parameters, weight_decay=SETTINGS.weight_decay)
    pull = torch.randn(graph.meta.n_nodes, SETTINGS.encoder.width)

    def epoch() -> None:
        for step in steps:
            view = next(iter(step.batches.values())).view
            optimizer.zero_grad()
            found = channel(view.blocks, encoder_input(view))
            found.backward(pull[: len(found)])
            optimizer.step()

    return epoch


def arms_on(graph: TrainingGraph) -> dict[str, Arm]:
    whole = trainer_of(graph, "mogenet-mgnn-uncertainty", SETTINGS)
    on_pairs = trainer_of(graph, "mogenet-mlp-uncertainty", ON_PAIRS)
    on_nodes = trainer_of(graph, "mmoe-mlp-uncertainty", SETTINGS)
    trainers = zip((WHOLE, *MMOES), (whole, on_pairs, on_nodes), strict=True)
    epochs: dict[str, Arm] = {name: partial(made.run_epoch, 0) for name, made in trainers}
    steps = list(whole.batches.epoch(0, whole.model.depth, meta="none"))
    alone = {name: encoder_alone(graph, steps, k) for k, name in enumerate(CHANNELS)}
    return epochs | alone


def medians(arms: dict[str, Arm], repeats: int) -> dict[str, float]:
    """Median seconds of each arm; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats + 1):
        for name, arm in arms.items():
            started = time.perf_counter()
            arm()
            if repeat:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure all arms and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    arguments = parser.parse_args()
    prepare_process(2)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        graph = TrainingGraph(taobao4(arguments.data, Path(folder)))
        edges = {r.name: r.edges for r in graph.meta.relations if r.similarity}
        arms = arms_on(graph)
        seconds = medians(arms, arguments.repeats)
    promises: list[dict[str, Any]] = []
    for mmoe in MMOES:
        ratio = seconds[WHOLE] / sum(seconds[name] for name in (mmoe, *CHANNELS))
        name = f"MoGENet against {mmoe} and three channels"
        promises.append({"name": name, "ratio": ratio, "limit": LIMIT, "kept": ratio <= LIMIT})
    print(edges, {name: round(time, 2) for name, time in seconds.items()}, "s")
    for promise in promises:
        state = "kept" if promise["kept"] else "MISSED"
        print(f"{promise['name']}: {promise['ratio']:.2f}, promised {LIMIT}: {state}")
    if arguments.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        result = {
            "threads": 2,
            "versions": versions,
            "similar_edges": edges,
            "seconds": seconds,
            "promises": promises,
        }
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
