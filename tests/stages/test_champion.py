"""The champion on today's test set: what its bundle scores is what its model scored."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.evaluation.evidence import GateSettings
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.id_index import IdIndex
from counterpoint.registry.identity import entity_hashes
from counterpoint.stages import champion
from counterpoint.stages.champion import bundle_parts
from counterpoint.stages.serving import write_served
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.settings import cell_named

from .test_serving import SETTINGS


@pytest.fixture(scope="module", params=["shared_bottom", "esmm"])
def trained(request, market_graph, tmp_path_factory):
    """A run directory of one seed, and its bundle."""
    folder: Path = tmp_path_factory.mktemp("trained")
    (folder / "run").mkdir()
    cell = cell_named(f"{request.param}-gcn-fixed")
    CellTrainer(
        market_graph.store, cell, (0,), SETTINGS, folder / "run", None, lambda line: None
    ).run()
    run = open_run(folder / "run")
    write_served(market_graph.store, run, 0, folder / "bundle")
    return run, read_bundle(folder / "bundle")


@pytest.mark.parametrize("name", ["click", "buy", "visit", "spend", "topic", "tags"])
def test_a_bundle_scores_the_test_set_as_its_model_did(trained, market_graph, name):
    run, bundle = trained
    ours, theirs = bundle_parts(bundle, market_graph.store, name), run.parts(name, "test", 0)
    assert ours.kind == theirs.kind
    for column in ("row", "cluster", "label"):
        np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
    np.testing.assert_allclose(ours.score, theirs.score, rtol=1e-4, atol=1e-5)


def card_with(market_graph, **margins):
    """What a card says to a comparison: the judged tasks and the gate's rules."""
    tasks = [
        SimpleNamespace(name=name, metric=market_graph.meta.tasks[name].metric, margin=margin)
        for name, margin in margins.items()
    ]
    return SimpleNamespace(verdict=SimpleNamespace(tasks=tasks), gate=GateSettings())


WIDE = {"click": 0.9, "buy": 0.9, "visit": 0.9, "topic": 0.9, "tags": 0.9}


@pytest.fixture
def versions(trained, market_graph, monkeypatch):
    """Both versions are the trained bundle, the card is wide; a test exchanges what it is about."""
    found = {1: trained[1], 2: trained[1], "card": card_with(market_graph, **WIDE)}

    @contextmanager
    def stored_card(tracking, model, version):
        yield None

    monkeypatch.setattr(champion, "load_version", lambda tracking, model, version: found[version])
    monkeypatch.setattr(champion, "stored_card", stored_card)
    monkeypatch.setattr(champion, "read_card", lambda folder: found["card"])
    return found


def of_versions(store):
    return champion.compared(None, "market", 2, 1, store.path)


def test_the_same_model_is_not_worse_than_itself(versions, market_graph):
    verdict, comparison = of_versions(market_graph.store)
    assert comparison.decision == "pass"
    assert comparison.test_set == market_graph.store.digest
    assert {task.name for task in verdict.tasks} == set(WIDE)
    assert all(task.difference.delta == 0 for task in verdict.tasks)


def test_a_worse_model_fails_where_it_is_worse(versions, market_graph):
    bundle = versions[2]
    label = market_graph.store.rows("topic", "test")
    wrong = np.zeros_like(bundle.tensors["topic.logits"])
    wrong[label.entity, (label.label + 1) % 3] = 9.0
    right = np.zeros_like(wrong)
    right[label.entity, label.label] = 9.0
    versions[1] = replace(bundle, tensors={**bundle.tensors, "topic.logits": right})
    versions[2] = replace(bundle, tensors={**bundle.tensors, "topic.logits": wrong})
    versions["card"] = card_with(market_graph, **{**WIDE, "topic": 0.1})
    verdict, comparison = of_versions(market_graph.store)
    assert comparison.decision == "fail"
    assert {task.name for task in verdict.tasks if not task.non_inferior} == {"topic"}


def test_a_champion_that_was_trained_on_a_test_row_is_refused(versions, market_graph):
    store, bundle = market_graph.store, versions[1]
    ids = {name: store.ids(name) for name in ("user", "item")}
    held_out = store.rows("click", "test").entity[:2]
    seen = entity_hashes(("user", "item"), held_out, ids)
    both = np.union1d(bundle.trained_on["click"], seen)
    versions[1] = replace(bundle, trained_on={**bundle.trained_on, "click": both})
    comparison = of_versions(store)[1]
    assert comparison.decision == "refused"
    assert f"click: 2 of {len(store.rows('click', 'test'))} test rows were in" in str(
        comparison.reasons
    )


def test_against_a_champion_that_is_lost_nothing_is_shown(versions, market_graph, monkeypatch):
    def lost(tracking, model, version):
        if version == 1:
            raise UserError("version 1 is lost")
        return versions[version]

    monkeypatch.setattr(champion, "load_version", lost)
    comparison = of_versions(market_graph.store)[1]
    assert (comparison.decision, comparison.reasons) == ("refused", ("version 1 is lost",))


def test_a_target_that_the_challenger_was_not_judged_on_is_refused(versions, market_graph):
    without = {name: margin for name, margin in WIDE.items() if name != "buy"}
    versions["card"] = card_with(market_graph, **without)
    comparison = of_versions(market_graph.store)[1]
    assert comparison.decision == "refused"
    assert comparison.reasons == (
        "buy: a target today, but no target of the challenger; train one that has it",
    )


def test_nodes_that_the_champion_does_not_know_count_as_the_average_and_are_told(
    versions, market_graph
):
    bundle = versions[1]
    entity = market_graph.store.rows("click", "test").entity
    new, users = entity[0, 0], bundle.ids["user"]
    known = users.order != new
    fewer = IdIndex(users.ids[known], users.order[known])
    versions[1] = replace(bundle, ids={**bundle.ids, "user": fewer})
    reasons = of_versions(market_graph.store)[1].reasons
    rows = entity[:, 0] == new
    told = f"click: {rows.sum()} of {len(rows)} test rows have a node that the champion does not"
    assert any(reason.startswith(told) for reason in reasons)
    tensors = {
        name: array.astype(np.float64)
        for name, array in bundle.tensors.items()
        if name.startswith("click.")
    }
    average, bias = tensors["click.src"].mean(0), tensors["click.src_bias"].mean()
    items = entity[rows, 1]
    logit = tensors["click.dst"][items] @ average + bias + tensors["click.dst_bias"][items]
    score = bundle_parts(versions[1], market_graph.store, "click").score
    np.testing.assert_allclose(score[rows], 1 / (1 + np.exp(-logit)), rtol=1e-5)
    before = bundle_parts(bundle, market_graph.store, "click").score
    np.testing.assert_array_equal(score[~rows], before[~rows])


def test_a_promotion_is_judged_on_the_graph_if_there_is_one(versions, market_graph):
    assert champion.judge_on(None, "market", None) is None
    versions["card"] = card_with(market_graph)  # judged on no task
    judge = champion.judge_on(None, "market", market_graph.store.path)
    assert judge(2, 1) == of_versions(market_graph.store)[1]
    assert judge(2, 1).decision == "refused"
