"""Promotion on each kind of store: twenty at once, one wins; the alias follows the log."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from counterpoint.errors import UserError
from counterpoint.registry import promotion
from counterpoint.registry.moves import Comparison, read_log
from counterpoint.registry.promotion import promote, repair, rollback
from counterpoint.registry.tracking import Tracking, connect, experiment_id
from counterpoint.registry.versions import aliases, load_version, register_candidate
from counterpoint.stages.kfp_local import tracking_server

from .conftest import make_candidate
from .stores import postgres

MODEL = "market"
MOVERS = 20


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "http"])
def store(
    request: pytest.FixtureRequest, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tracking]:
    """A store of each kind with versions 1 and 2 of the model, both of them to be promoted.

    The twenty movers are threads of one process, and SQLAlchemy gives a process 15 connections at
    once; MLflow takes a second one, while it holds the first, to say that a name is taken.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", str(2 * MOVERS))
        yield from opened(request.param, empty_store, tmp_path_factory.mktemp(request.param))


def opened(kind: str, empty_store: Path, work: Path) -> Iterator[Tracking]:
    if kind == "postgresql":
        with postgres() as address:
            yield with_versions(connect(work, address), work)
        return
    shutil.copy(empty_store, work)
    if kind == "sqlite":
        yield with_versions(connect(work, f"sqlite:///{work}/mlflow.db"), work)
        return
    with tracking_server(work) as address:
        yield with_versions(connect(work, address), work)


def with_versions(tracking: Tracking, work: Path) -> Tracking:
    run = tracking.client.create_run(experiment_id(tracking, "stores")).info.run_id
    for shift in range(2):
        candidate = make_candidate(work / str(shift), f"cell{shift}", "promote", shift)
        register_candidate(tracking, MODEL, candidate, run, {})
    return tracking


def passing(challenger: int, champion: int) -> Comparison:
    return Comparison(decision="pass", test_set="g" * 64, reasons=("buy: non-inferior",))


def test_of_twenty_at_once_one_wins_and_nineteen_say_who_did(store, monkeypatch):
    """All have read the log when the first writes; each gives itself a name."""
    barrier = Barrier(MOVERS, timeout=120)
    append = promotion.append

    def together(tracking, model, move):
        barrier.wait()
        append(tracking, model, move)

    def mover(number: int) -> str:
        try:
            return attempt(number)
        except Exception:
            barrier.abort()
            raise

    def attempt(number: int) -> str:
        try:
            move = promote(store, MODEL, number % 2 + 1, expect_champion=None)
        except UserError as fault:
            return str(fault)
        assert move.version == number % 2 + 1
        return "won"

    with monkeypatch.context() as patched:
        patched.setattr(promotion, "append", together)
        # twenty times fetching and scoring the model has no part in the race
        patched.setattr(promotion, "_working_bundle", lambda *_: None)
        with ThreadPoolExecutor(MOVERS) as pool:
            said = list(pool.map(mover, range(MOVERS)))
    assert said.count("won") == 1
    champion = said.index("won") % 2 + 1
    (move,) = read_log(store, MODEL).moves
    assert move.version == champion
    losers = [line for line in said if line != "won"]
    assert all(line.startswith(f"{MODEL}: {move.said} meanwhile") for line in losers), losers[:2]
    assert aliases(store, MODEL)["champion"] == champion


def test_promotion_rollback_and_repair(store):
    first = read_log(store, MODEL).champion
    second = first % 2 + 1
    promote(store, MODEL, second, expect_champion=first, judge=passing)
    standing = aliases(store, MODEL)
    assert (standing["champion"], standing["previous"]) == (second, first)
    assert (
        load_version(store, MODEL, "champion").digest == load_version(store, MODEL, second).digest
    )
    rollback(store, MODEL, "clicks fell")
    log = read_log(store, MODEL)
    assert [move.version for move in log.moves] == [first, second, first]
    assert log.faults() == []
    assert "previous" not in aliases(store, MODEL)
    store.client.set_registered_model_alias(MODEL, "champion", str(second))
    assert repair(store, MODEL) == {"champion": first}
    assert aliases(store, MODEL)["champion"] == first
    assert repair(store, MODEL) == {}
