import subprocess
import sys

import pandas as pd
import pytest

from counterpoint.files import new_folder, read_json, read_tensors, verified_digest
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import GraphMeta, open_store
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.scores import score
from counterpoint.stages.serving import transductive, write_served
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 4, "layers": 1},
        "sharing": {"width": 4, "tower_width": 4},
        "batch_size": 200,
        "epochs": 1,
        "threads": 1,
    }
)


@pytest.mark.parametrize("architecture", ["shared_bottom", "esmm"])
def test_what_is_served_is_what_training_scored(market_graph, tmp_path, architecture):
    store, cell = market_graph.store, cell_named(f"{architecture}-gcn-fixed")
    with new_folder(tmp_path / "run") as scratch:
        CellTrainer(store, cell, (0,), SETTINGS, scratch, None, lambda line: None).run()
    write_served(store, open_run(tmp_path / "run"), 0, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    above = bundle.contents.tasks["buy"].condition
    assert above == ("click" if architecture == "esmm" else None)
    assert bundle.inductive is None
    assert bundle.contents.transductive == transductive(store.meta)
    for example in bundle.examples:
        given = {name: value for name, value in example.items() if name != "score"}
        found = score(bundle, pd.DataFrame([given])).iloc[0, 0]
        assert found == pytest.approx(example["score"], rel=1e-5)


def test_what_keeps_new_nodes_from_being_encoded(similar_graph):
    meta = similar_graph.meta
    line = "node type shop has no features, and each of its nodes a learned vector"
    assert transductive(meta).startswith(line)
    featured = meta.model_copy(update={"node_types": meta.node_types[:2]})
    assert transductive(featured).startswith("relation peers, alike is a similarity, which is made")
    plain = tuple(relation for relation in meta.relations if not relation.similarity)
    assert transductive(featured.model_copy(update={"relations": plain})) is None


def test_what_encodes_new_nodes_is_served_and_the_same_bytes_each_time(market, tmp_path):
    with new_folder(tmp_path / "graph") as scratch:
        build_graph(market.write(tmp_path / "data"), BuildSettings(candidate_count=5), scratch)
    store, cell = open_store(tmp_path / "graph"), cell_named("mmoe-gat-fixed")
    with new_folder(tmp_path / "run") as scratch:
        CellTrainer(store, cell, (0,), SETTINGS, scratch, None, lambda line: None).run()
    run = open_run(tmp_path / "run")
    for name in "ab":
        write_served(store, run, 0, tmp_path / name)
    assert verified_digest(tmp_path / "a") == verified_digest(tmp_path / "b")
    bundle = read_bundle(tmp_path / "a")
    assert GraphMeta.model_validate(bundle.inductive.graph) == store.meta
    assert bundle.inductive.encoders == read_json(store.path / "train" / "encoders.json")
    weights = read_tensors(run.path / "seed-0" / "joint.safetensors")
    assert {name: array.tobytes() for name, array in bundle.inductive.weights.items()} == {
        name: array.tobytes() for name, array in weights.items()
    }
    command = (
        "import sys; from pathlib import Path; from counterpoint.registry.bundle import "
        "read_bundle; from counterpoint.registry import batch, scoring_model, scores; "
        f"found = read_bundle(Path({str(tmp_path / 'a')!r})); "
        "scores.score(found, scores.example_frame(found, 'click')); "
        "assert found.inductive is not None; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", command], check=True)
