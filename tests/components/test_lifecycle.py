"""Components of a registered model called as plain functions, at a server of the environment."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from kfp.dsl import Artifact

from components.build_graph.component import build_graph
from components.ingest.component import ingest
from components.monitor.component import monitor
from components.promote.component import promote
from components.score.component import score
from components.validate.component import validate
from counterpoint.data.distributions import FEATURES, distribution, feature_values
from counterpoint.data.folder import open_folder
from counterpoint.data.schema import TaskKind
from counterpoint.errors import UserError
from counterpoint.files import (
    read_json,
    sha256_of_text,
    verified_digest,
    write_json,
    write_manifest,
)
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.registry.batch import score_file
from counterpoint.registry.bundle import DotHead, read_bundle, write_bundle
from counterpoint.registry.moves import Comparison, read_log
from counterpoint.registry.records import CandidateRecord
from counterpoint.registry.tracking import Tracking, connect, experiment_id
from counterpoint.registry.versions import register_candidate
from counterpoint.stages import lifecycle
from counterpoint.stages.reference import REFERENCE, write_reference
from counterpoint.stages.sources import code_digest
from tests.components.test_components import TINY

SHOP = {"model": "shop"}
NODES = "user: nodes"


def write_random_bundle(folder: Path, store: GraphStore, seed: int) -> None:
    """The same random vectors for each task, with an example that a plain loop scores."""
    rng = np.random.default_rng(seed)
    ids = {name: store.ids(name) for name in ("user", "item")}
    src, dst = (rng.normal(size=(len(found), 2)).astype(np.float32) for found in ids.values())
    zeros = [np.zeros(len(found), dtype=np.float32) for found in ids.values()]
    head = DotHead(TaskKind.BINARY, ("user", "item"), src, dst, *zeros, np.zeros(()))
    logit = sum(float(a) * float(b) for a, b in zip(src[1], dst[2], strict=True))
    pair = {"src": ids["user"][1].item(), "dst": ids["item"][2].item()}
    write_bundle(
        folder,
        dict.fromkeys(store.meta.tasks, head),
        ids,
        [{"task": name, **pair, "score": 1 / (1 + np.exp(-logit))} for name in store.meta.tasks],
        trained_on={name: np.arange(3) for name in store.meta.tasks},
        inductive="it is random",
        graph_digest=store.digest,
        model_digest=sha256_of_text(str(seed)),
        config={},
    )


def register_version(tracking: Tracking, folder: Path, today: Path, number: int) -> None:
    """Register a version: the first is of today, the second of a graph with twice the users."""
    store, served, card = open_store(today / "graph"), folder / "bundle", folder / "card"
    write_random_bundle(served, store, number)
    card.mkdir()
    write_json(card / "card.json", {"verdict": {"decision": "promote"}, "lineage": {}})
    features = feature_values(open_folder(today / "data"))
    write_json(folder / FEATURES, {name: distribution(v).model_dump() for name, v in features})
    write_reference(card, store, read_bundle(served), folder)
    reference = read_json(card / REFERENCE)
    reference["facts"][NODES] *= number
    write_json(card / REFERENCE, reference)
    write_manifest(card)
    (folder / "report.html").write_text("<p>promote</p>")
    candidate = CandidateRecord(
        cell=f"cell{number}",
        bundle=served,
        model_digest=sha256_of_text(str(number)),
        verdict="promote",
        reasons=[],
        report=folder / "report.html",
        card=card,
        lineage={"seed": "0"},
    )
    run = tracking.client.create_run(experiment_id(tracking, "shop")).info.run_id
    register_candidate(tracking, SHOP["model"], candidate, run, {})


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of data and graph, and a registry of two versions."""
    folder = tmp_path_factory.mktemp("today")
    data, validation, graph = (
        Artifact(uri=str(folder / name)) for name in ("data", "validation", "graph")
    )
    digest = ingest.python_func(TINY, "", data)
    passed = validate.python_func(data, digest, "", validation)
    build_graph.python_func(data, validation, digest, passed, {}, "", graph)
    tracking = connect(folder, f"sqlite:///{folder}/mlflow.db")
    for number in (1, 2):
        register_version(tracking, tmp_path_factory.mktemp("made"), folder, number)
    return folder


@pytest.fixture
def registry(today: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """The server that the environment names; nothing is promoted yet."""
    uri = f"sqlite:///{today}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking = connect(today, uri)
    for found in tracking.client.search_registered_models("name LIKE 'shop.move.%'"):
        tracking.client.delete_registered_model(found.name)
    return tracking


@pytest.fixture
def made(tmp_path: Path) -> Artifact:
    """Where a component is to write."""
    return Artifact(uri=str(tmp_path / "made"))


def of_today(today: Path, name: str) -> tuple[Artifact, str]:
    return Artifact(uri=str(today / name)), verified_digest(today / name)


def promoted(today: Path, version: str, expect_champion: str, made: Artifact) -> str:
    given = (*of_today(today, "graph"), version, expect_champion, SHOP)
    return promote.python_func(*given, code_digest("lifecycle"), made)


def test_promote_leaves_the_move_with_its_evidence(
    today: Path, registry: Tracking, made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert promoted(today, "1", "none", made) == "1"
    first, graph = read_json(Path(made.path) / "move.json"), today / "graph"
    assert (first["version"], first["before"], first["evidence"]["comparison"]) == (1, None, None)
    verified_digest(Path(made.path))
    asked = []

    def judge_on(tracking: Tracking, model: str, where: Path) -> object:
        def judge(challenger: int, champion: int) -> Comparison:
            asked.append((model, where, challenger, champion))
            decision = "fail" if len(asked) == 1 else "pass"
            return Comparison(decision=decision, test_set="g", reasons=("click: said",))

        return judge

    monkeypatch.setattr(lifecycle, "judge_on", judge_on)
    with pytest.raises(UserError, match=r"did not pass against version 1, .*click: said"):
        promoted(today, "candidate", "1", made)
    assert read_log(registry, "shop").champion == 1
    assert promoted(today, "candidate", "1", made) == "2"
    assert asked == 2 * [("shop", graph, 2, 1)]
    assert read_json(Path(made.path) / "move.json")["evidence"]["comparison"]["decision"] == "pass"
    assert read_log(registry, "shop").champion == 2


@pytest.mark.parametrize(
    ("expect_champion", "said"),
    [("2", "the champion is none, not 2"), ("v2", "'v2': a version number, or none")],
)
def test_promote_refuses_another_champion_than_expected(
    today: Path, registry: Tracking, made: Artifact, expect_champion: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        promoted(today, "1", expect_champion, made)
    assert read_log(registry, "shop").champion is None
    assert not Path(made.path).exists()


def test_score_makes_what_the_command_makes(
    today: Path, registry: Tracking, made: Artifact, tmp_path: Path
) -> None:
    promoted(today, "2", "none", Artifact(uri=str(tmp_path / "move")))
    rows = today / "data" / "tasks" / "click.parquet"
    given = (Artifact(uri=str(rows)), "champion", "click", "refuse", SHOP, "", made)
    assert score.python_func(*given) == "2"
    score_file(registry, "shop", "champion", "click", rows, tmp_path / "command")
    assert verified_digest(Path(made.path)) == verified_digest(tmp_path / "command")
    assert read_json(Path(made.path) / "scoring.json")["question"]["version"] == 2


def test_score_knows_two_rules_for_unknown_nodes(
    today: Path, registry: Tracking, made: Artifact, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    pl.read_parquet(today / "data" / "tasks" / "click.parquet").head(3).select(
        pl.col("src"), dst=pl.lit(-1)
    ).write_parquet(rows)

    def scored(unknown: str) -> str:
        given = (Artifact(uri=str(rows)), "1", "click", unknown, SHOP, "", made)
        return score.python_func(*given)

    with pytest.raises(UserError, match="unknown: 'skip'; refuse or average"):
        scored("skip")
    with pytest.raises(UserError, match="3 of 3 rows have a node"):
        scored("refuse")
    assert not Path(made.path).exists()
    assert scored("average") == "1"
    assert read_json(Path(made.path) / "scoring.json")["unknown_rows"] == 3


def drifted(today: Path, version: str, thresholds: dict[str, float], made: Artifact) -> int:
    (data, data_digest), (graph, graph_digest) = (of_today(today, n) for n in ("data", "graph"))
    given = (data, graph, data_digest, graph_digest, version, thresholds, SHOP, "", made)
    return monitor.python_func(*given)


def test_monitor_counts_what_drifted(today: Path, registry: Tracking, made: Artifact) -> None:
    assert drifted(today, "1", {}, made) == 0
    assert drifted(today, "2", {}, made) == 1
    drift = read_json(Path(made.path) / "drift.json")
    assert (drift["version"], drift["drifted"]) == (2, [f"fact {NODES}"])
    assert (Path(made.path) / "drift.html").is_file()
    verified_digest(Path(made.path))
    assert drifted(today, "2", {"facts": 0.6}, made) == 0


def test_other_bytes_or_code_than_the_pipeline_passed_are_refused(
    today: Path, registry: Tracking, made: Artifact
) -> None:
    (data, digest), (graph, _) = (of_today(today, name) for name in ("data", "graph"))
    with pytest.raises(UserError, match="graph: its digest is not 000000000000"):
        monitor.python_func(data, graph, digest, "0" * 64, "1", {}, SHOP, "", made)
    with pytest.raises(UserError, match="graph: its digest is not 000000000000"):
        promote.python_func(graph, "0" * 64, "1", "none", SHOP, "", made)
    with pytest.raises(UserError, match="lifecycle: the image has other source files"):
        score.python_func(data, "1", "click", "refuse", SHOP, "0" * 64, made)
    assert read_log(registry, "shop").champion is None


def test_the_server_is_the_environments_and_no_other(
    today: Path, registry: Tracking, made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {**SHOP, "tracking_uri": "http://elsewhere"}
    graph = of_today(today, "graph")
    with pytest.raises(UserError, match=r"register\.tracking_uri: .*MLFLOW_TRACKING_URI"):
        promote.python_func(*graph, "1", "none", elsewhere, "", made)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI is not set"):
        promote.python_func(*graph, "1", "none", SHOP, "", made)
