"""Nodes that a registered version does not know, encoded by its weights from today's tables."""

import tempfile
from functools import partial
from pathlib import Path

import torch

from counterpoint.data.folder import DataFolder, open_folder
from counterpoint.data.versioned import content_digest
from counterpoint.graph.features import FeatureEncoder
from counterpoint.graph.history import write_history
from counterpoint.graph.store import GraphMeta, open_store
from counterpoint.graph.views import TrainingGraph
from counterpoint.registry.batch import Encoding
from counterpoint.registry.bundle import Bundle
from counterpoint.registry.extension import extended
from counterpoint.stages.serving import head_of
from counterpoint.training.cell import configured_model
from counterpoint.training.scoring import full_representations


def encoding_from(data: Path) -> Encoding:
    """New nodes are encoded from the tables of today's data-set folder.

    Raises:
        UserError: no such folder, or its dataset.yaml is bad.
    """
    folder = open_folder(data)
    return Encoding(data, content_digest(data), partial(with_todays_nodes, folder))


def with_todays_nodes(folder: DataFolder, bundle: Bundle, task: str) -> Bundle:
    """The bundle with all of today's nodes that ``task`` asks about.

    The nodes are encoded in eval mode on full neighbourhoods of the graph of all of today's nodes
    and edges, known nodes and their new edges included; what the bundle knows stays as it is.

    Args:
        folder: today's data set.
        bundle: an inductive one.
        task: of the bundle.

    Raises:
        UserError: today's data set lacks something of the model's, or has faults.
    """
    assert bundle.inductive is not None
    meta = GraphMeta.model_validate(bundle.inductive.graph)
    encoders = {
        name: FeatureEncoder.model_validate(encoder)
        for name, encoder in bundle.inductive.encoders.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        write_history(folder, meta, encoders, Path(scratch))
        graph = TrainingGraph(open_store(Path(scratch)))
        ids = {name: graph.store.ids(name) for name in bundle.contents.tasks[task].entity}
    model = configured_model(bundle.contents.config, graph.meta).eval()
    model.load_state_dict(
        {name: torch.from_numpy(array) for name, array in bundle.inductive.weights.items()}
    )
    representations = full_representations(model, graph)
    asked = [task]
    while (above := bundle.contents.tasks[asked[-1]].condition) is not None:
        asked.append(above)
    heads = {name: head_of(graph, model, representations, name) for name in asked}
    return extended(bundle, heads, ids)
