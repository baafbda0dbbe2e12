"""What holds of every kind of planted data set."""

import json
from itertools import pairwise

import pytest

from counterpoint.data.folder import open_folder
from counterpoint.data.planted import generate, planted_preset
from counterpoint.files import read_json, verified_digest, write_manifest
from counterpoint.graph.build import BuildSettings, build_graph
from counterpoint.graph.store import open_store
from counterpoint.validation.run import validate

SMALL = {
    "tiny": {},
    "logistic_tiny": {},
    "aminer": {"papers": 400, "authors": 200},
    "criteo_r": {"rows": 1_000},
    "criteo_ur": {"rows": 1_000},
}


def digest(config, path):
    path.mkdir()
    generate(config, path)
    write_manifest(path)
    return verified_digest(path)


@pytest.mark.parametrize(("preset", "dials"), SMALL.items())
def test_same_dials_same_bytes_other_seed_other_bytes(preset, dials, tmp_path):
    config = planted_preset(preset, **dials)
    first = digest(config, tmp_path / "a")
    assert digest(config, tmp_path / "b") == first
    assert digest(planted_preset(preset, seed=1, **dials), tmp_path / "c") != first


@pytest.mark.parametrize(("preset", "dials"), SMALL.items())
def test_it_passes_validation_and_becomes_a_graph(preset, dials, tmp_path):
    for name in ("data", "graph"):
        (tmp_path / name).mkdir()
    config = planted_preset(preset, **dials)
    generate(config, tmp_path / "data")
    folder = open_folder(tmp_path / "data")
    result = validate(folder, tmp_path / "validation")
    assert result.passed, result.failures()
    build_graph(folder, BuildSettings(), tmp_path / "graph")
    meta = open_store(tmp_path / "graph").meta
    assert {t.name: t.count for t in meta.node_types} == config.sizes
    static = [r.name for r in meta.relations if not r.derived]
    assert set(static) == {
        f"{way}{name}" for name in folder.schema.static_relations for way in ("", "rev-")
    }


@pytest.mark.parametrize("relatedness", [-0.5, 0.0, 0.1, 0.9])
@pytest.mark.parametrize(
    ("preset", "tasks"),
    [
        ("tiny", ("click", "complaint")),
        ("logistic_tiny", ("interest", "contract")),
        ("aminer", ("paper_class", "author_classes")),
    ],
)
def test_the_truth_says_what_was_planted(preset, tasks, relatedness, tmp_path):
    config = planted_preset(preset, relatedness=relatedness, **SMALL[preset])
    generate(config, tmp_path)
    truth = read_json(tmp_path / "truth" / "truth.json")
    assert truth["dials"] == json.loads(config.model_dump_json())
    one, other = tasks
    assert truth["cosine"][one][other] == pytest.approx(relatedness, abs=1e-12)
    relations = set(open_folder(tmp_path).schema.static_relations)
    for task in tasks:
        assert set(truth["importance"][task]) == relations
        assert sum(w**2 for w in truth["importance"][task].values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("preset", ["logistic_tiny", "aminer"])
def test_paths_lead_through_the_graph_to_the_tasks_nodes(preset, tmp_path):
    for name in ("data", "graph"):
        (tmp_path / name).mkdir()
    generate(planted_preset(preset, **SMALL[preset]), tmp_path / "data")
    build_graph(open_folder(tmp_path / "data"), BuildSettings(), tmp_path / "graph")
    meta = open_store(tmp_path / "graph").meta
    ends = {relation.name: (relation.src, relation.dst) for relation in meta.relations}
    truth = read_json(tmp_path / "data" / "truth" / "truth.json")
    for task in meta.tasks:
        paths = truth["paths"].get(task, truth["paths"])
        assert set(paths) == set(truth["importance"][task])
        for name, path in paths.items():
            steps = [ends[step] for step in path]
            assert path[0].removeprefix("rev-") == name
            assert all(one[1] == other[0] for one, other in pairwise(steps))
            assert steps[-1][1] == meta.tasks[task].entity
