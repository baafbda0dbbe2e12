"""Exchange inside graph layers keeps the contract on node tasks: one node type, and two of them."""

import pytest
import torch

from counterpoint.data.folder import open_folder
from counterpoint.data.planted import generate, planted_preset
from counterpoint.files import new_folder
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.models import SharingSettings, fitting_encoders, make_model
from counterpoint.models.checks import check_model
from counterpoint.nn.encoders import EncoderSettings
from counterpoint.training.batches import Batches
from counterpoint.training.settings import TrainSettings

SIZES = {
    "logistic_tiny": {"customers": 60, "accounts": 60, "stations": 10, "companies": 20},
    "aminer": {"papers": 60, "authors": 40},
}
SCORED = {"logistic_tiny": {"customer"}, "aminer": {"paper", "author"}}


@pytest.fixture(scope="module", params=SIZES)
def graph(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    with new_folder(path / "data") as scratch:
        generate(planted_preset(request.param, **SIZES[request.param]), scratch)
    with new_folder(path / "graph") as scratch:
        build_graph(open_folder(path / "data"), BuildSettings(), scratch)
    made = TrainingGraph(open_store(path / "graph"))
    tasks = made.meta.tasks.values()
    assert {name for task in tasks for name in task.node_types} == SCORED[request.param]
    return made


# with fewer no customer has two neighbours by one relation, and attention nothing to choose among
@pytest.mark.parametrize("fanouts", [None, (3, 4)], ids=["whole", "sampled"])
@pytest.mark.parametrize("architecture", ["inline", "struchis", "conv_ple"])
def test_model(graph, architecture, fanouts):
    torch.manual_seed(0)
    tasks = graph.meta.tasks
    settings = EncoderSettings(width=8, layers=2)
    encoder = fitting_encoders(architecture)[-1]
    sharing = SharingSettings(width=5, tower_width=8)
    model = make_model(architecture, encoder, graph.meta, tasks, settings, sharing)
    batches = Batches(graph, tasks, TrainSettings(batch_size=12, fanouts=fanouts), seed=0)
    step = batches.step(0, 0, depth=model.depth, meta="none")
    assert set(step.batches) == set(tasks)
    check_model(model, step)
