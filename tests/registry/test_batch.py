import json
import tracemalloc
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from counterpoint.errors import UserError
from counterpoint.files import verified_digest
from counterpoint.registry import batch
from counterpoint.registry.batch import Encoding, score_file
from counterpoint.registry.bundle import Inductive, read_bundle
from counterpoint.registry.promotion import promote
from counterpoint.registry.scores import task_scores
from counterpoint.registry.tracking import experiment_id
from counterpoint.registry.versions import register_candidate

from .conftest import ITEMS, USERS, make_bundle, make_candidate

MODEL = "batch"


@pytest.fixture(scope="module")
def registry(tracking, tmp_path_factory):
    """Two versions; the first is champion."""
    run = tracking.client.create_run(experiment_id(tracking, MODEL)).info.run_id
    for shift in range(2):
        candidate = make_candidate(tmp_path_factory.mktemp("v"), "cell", "promote", shift)
        register_candidate(tracking, MODEL, candidate, run, {})
    promote(tracking, MODEL, 1, expect_champion=None)
    return tracking, candidate.bundle


@pytest.fixture
def pairs(tmp_path):
    frame = pl.DataFrame(
        {"dst": [ITEMS[k % 4] for k in range(10)], "src": [USERS[k % 3] for k in range(10)]}
    )
    frame.with_columns(extra=pl.lit("x")).write_parquet(
        tmp_path / "pairs.parquet", row_group_size=4
    )
    return tmp_path / "pairs.parquet"


def test_scores_are_the_models_and_the_record_says_whose(registry, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "ROWS", 3)
    scored = score_file(registry[0], MODEL, "2", "click", pairs, tmp_path / "out")
    assert (scored.rows, scored.unknown_rows, scored.fresh) == (10, 0, True)
    table = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert table.columns == ["src", "dst", "probability", "known"]
    frame = pl.read_parquet(pairs)
    assert table.select("src", "dst").equals(frame.select("src", "dst"))
    direct = task_scores(read_bundle(registry[1]), "click", frame.to_pandas())
    np.testing.assert_array_equal(table["probability"].to_numpy(), direct)
    record = json.loads((tmp_path / "out" / "scoring.json").read_text())
    assert record["question"]["version"] == 2
    assert record["question"]["bundle_digest"] == read_bundle(registry[1]).digest
    verified_digest(tmp_path / "out")


def test_an_alias_is_resolved_by_the_log_and_recorded(registry, pairs, tmp_path):
    scored = score_file(registry[0], MODEL, "champion", "click", pairs, tmp_path / "out")
    assert (scored.question.asked, scored.question.version) == ("champion", 1)


def test_the_same_question_has_its_answer_and_the_same_bytes(registry, pairs, tmp_path):
    def ask(target, **changes):
        arguments = {"version": 1, "task": "click", "source": pairs, **changes}
        return score_file(registry[0], MODEL, target=tmp_path / target, **arguments)

    ask("out")
    before = (tmp_path / "out" / "scores.parquet").stat().st_mtime_ns
    assert not ask("out").fresh
    assert (tmp_path / "out" / "scores.parquet").stat().st_mtime_ns == before
    ask("again")
    assert verified_digest(tmp_path / "out") == verified_digest(tmp_path / "again")
    assert ask("out", version=2).fresh
    assert ask("out", task="buy").fresh
    (tmp_path / "out" / "scores.parquet").write_bytes(b"changed")
    assert ask("out", task="buy").fresh


def test_rows_of_classes_and_values(registry, tmp_path):
    pl.DataFrame({"id": [10, 40]}).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame({"id": ["u1"]}).write_parquet(tmp_path / "users.parquet")
    score_file(registry[0], MODEL, 1, "topic", tmp_path / "items.parquet", tmp_path / "topic")
    topic = pl.read_parquet(tmp_path / "topic" / "scores.parquet")["probability"]
    assert topic.list.len().to_list() == [3, 3]
    assert topic.list.sum().to_list() == pytest.approx([1, 1])
    score_file(registry[0], MODEL, 1, "spend", tmp_path / "users.parquet", tmp_path / "spend")
    assert "value" in pl.read_parquet(tmp_path / "spend" / "scores.parquet").columns


def test_unknown_nodes_are_refused_or_average(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "ROWS", 2)
    source = tmp_path / "pairs.parquet"
    frame = pl.DataFrame({"src": ["u1", "u2", "new", None], "dst": [10, 20, 30, None]})
    frame.write_parquet(source)
    line = "pairs.parquet: 2 of 4 rows have a node that batch version 2 does not know, the first is"
    with pytest.raises(UserError, match=rf"{line} row 2; leave them out"):
        score_file(registry[0], MODEL, 2, "click", source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.parquet"]
    scored = score_file(registry[0], MODEL, 2, "click", source, tmp_path / "out", "average")
    assert scored.unknown_rows == 2
    table = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert table["known"].to_list() == [True, True, False, False]
    tensors = {k: v.astype(np.float64) for k, v in read_bundle(registry[1]).tensors.items()}
    logit = (
        tensors["click.src"].mean(0) @ tensors["click.dst"][2]
        + tensors["click.src_bias"].mean()
        + tensors["click.dst_bias"][2]
        + tensors["click.bias"]
    )
    assert table["probability"][2] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-6)


@pytest.fixture(scope="module")
def inductive(tracking, tmp_path_factory):
    """A version that carries an encoder, of a model of its own."""
    run = tracking.client.create_run(experiment_id(tracking, MODEL)).info.run_id
    candidate = make_candidate(tmp_path_factory.mktemp("i"), "cell", "promote", 9)
    make_bundle(candidate.bundle, 9, inductive=Inductive({}, {}, {}))
    register_candidate(tracking, "inductive", candidate, run, {})
    return tracking


def encoding(place, digest="d" * 64):
    """As if today's tables had the user "new", with the bundle's second for a double."""

    asked = []

    def with_new(bundle, task):
        asked.append(task)
        tensors = dict(bundle.tensors)
        for name in (f"{task}.src", f"{task}.src_bias"):
            tensors[name] = np.concatenate([tensors[name], tensors[name][[1]]])
        users = bundle.ids["user"].with_further(np.asarray(["new"], dtype=object))
        return replace(bundle, tensors=tensors, ids={**bundle.ids, "user": users})

    return Encoding(place, digest, with_new), asked


def test_new_nodes_are_encoded_once_for_the_same_tables(inductive, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "ROWS", 2)
    source = tmp_path / "pairs.parquet"
    pl.DataFrame({"src": ["u2", "new", "u1"], "dst": [10, 10, 20]}).write_parquet(source)

    def ask(rule, target="out"):
        return score_file(inductive, "inductive", 1, "click", source, tmp_path / target, rule)

    rule, asked = encoding(tmp_path / "today")
    scored = ask(rule)
    assert (scored.rows, scored.unknown_rows, scored.fresh, asked) == (3, 1, True, ["click"])
    table = pl.read_parquet(tmp_path / "out" / "scores.parquet")
    assert table["known"].to_list() == [True, False, True]
    assert table["probability"][1] == table["probability"][0]
    question = json.loads((tmp_path / "out" / "scoring.json").read_text())["question"]
    assert (question["unknown"], question["data_digest"]) == ("encode", "d" * 64)
    assert not ask(rule).fresh
    assert asked == ["click"]
    ask(rule, "again")
    assert verified_digest(tmp_path / "out") == verified_digest(tmp_path / "again")
    assert ask(encoding(tmp_path / "today", "e" * 64)[0]).fresh
    known = ask("average", "average").folder / "scores.parquet"
    assert pl.read_parquet(known)["probability"][[0, 2]].equals(table["probability"][[0, 2]])
    assert "data_digest" not in (tmp_path / "average" / "scoring.json").read_text()


def test_a_node_in_neither_is_refused(inductive, tmp_path):
    source, today = tmp_path / "pairs.parquet", tmp_path / "today"
    frame = pl.DataFrame({"src": ["new", "x", "u1", None], "dst": [10, 10, 11, 10]})
    frame.write_parquet(source)
    rule = encoding(today)[0]
    with pytest.raises(UserError) as raised:
        score_file(inductive, "inductive", 1, "click", source, tmp_path / "out", rule)
    assert raised.value.faults == (
        f"{source}: 3 of 4 rows have a node that neither inductive version 1 nor {today} knows, "
        f"the first is row 1; leave them out, or add the nodes to {today}/nodes",
    )
    assert not (tmp_path / "out").exists()


def test_a_version_that_cannot_encode_says_why(registry, pairs, tmp_path, monkeypatch):
    def ask():
        rule = encoding(tmp_path)[0]
        score_file(registry[0], MODEL, 1, "click", pairs, tmp_path / "out", rule)

    line = "batch version 1 cannot encode new nodes: "
    advice = ", or let such nodes count as the average with --unknown average"
    with pytest.raises(UserError) as raised:
        ask()
    assert str(raised.value) == f"{line}node type item has no features; give it some{advice}"
    older = read_bundle(registry[1])
    older = replace(older, contents=older.contents.model_copy(update={"transductive": None}))
    monkeypatch.setattr(batch, "load_version", lambda *_: older)
    with pytest.raises(UserError) as raised:
        ask()
    assert str(raised.value) == f"{line}it was registered before any could; do it again{advice}"


def test_memory_does_not_grow_with_the_file(registry, tmp_path, monkeypatch):
    """Neither Python's, of which tracemalloc knows, nor Arrow's, of which it does not."""
    monkeypatch.setattr(batch, "ROWS", 1000)
    scored, arrow = batch._scored, []

    def noted(*arguments):
        found = scored(*arguments)
        arrow.append(pa.total_allocated_bytes())
        return found

    monkeypatch.setattr(batch, "_scored", noted)

    def peaks(rows):
        source = tmp_path / f"{rows}.parquet"
        columns = {"src": (USERS * rows)[:rows], "dst": (ITEMS * rows)[:rows]}
        pl.DataFrame(columns).write_parquet(source)
        arrow.clear()
        tracemalloc.start()
        score_file(registry[0], MODEL, 1, "click", source, tmp_path / f"out-{rows}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, max(arrow)

    peaks(1000)  # what is imported and cached once
    small, large = peaks(2000), peaks(50_000)
    for of_few, of_many in zip(small, large, strict=True):
        assert 0 < of_many < 2 * of_few


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "like"}, "task 'like': none of batch version 1, which has buy, churn"),
        ({"task": "churn"}, "pairs.parquet: column id is missing"),
        ({"version": "previous"}, "batch has no previous; promote a version first"),
        ({"version": 7}, "model 'batch' has no version 7; it has 1, 2"),
        ({"source": "nowhere.parquet"}, "nowhere.parquet: no such file"),
        ({"source": "text.parquet"}, "text.parquet: not a readable parquet file"),
        ({"source": "empty.parquet"}, "empty.parquet: no row; there is nothing to score"),
        ({"target": "pairs"}, "pairs: there already, and no folder of scores; name another"),
    ],
)
def test_bad_input_is_one_clear_line(registry, pairs, tmp_path, changes, line):
    (tmp_path / "text.parquet").write_text("no parquet")
    pl.read_parquet(pairs).head(0).write_parquet(tmp_path / "empty.parquet")
    (tmp_path / "pairs").mkdir()
    arguments = {"version": 1, "task": "click", "source": pairs.name, "target": "out", **changes}
    for name in ("source", "target"):
        arguments[name] = tmp_path / arguments[name]
    with pytest.raises(UserError) as raised:
        score_file(registry[0], MODEL, **arguments)
    assert line in str(raised.value)
    assert not (tmp_path / "out").exists()
