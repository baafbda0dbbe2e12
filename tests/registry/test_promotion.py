import pytest

from counterpoint.errors import UserError
from counterpoint.registry import promotion, versions
from counterpoint.registry.moves import Comparison, read_log
from counterpoint.registry.promotion import promote, repair, resolved, rollback
from counterpoint.registry.tracking import experiment_id
from counterpoint.registry.verification import model_faults
from counterpoint.registry.versions import aliases, load_version, register_candidate

from .conftest import make_candidate

MODEL = "market"


@pytest.fixture(scope="module")
def registered(tracking, tmp_path_factory):
    """Versions 1 to 4: promote, promote, hold, reject."""
    run = tracking.client.create_run(experiment_id(tracking, "promotion")).info.run_id
    for shift, verdict in enumerate(("promote", "promote", "hold", "reject")):
        folder = tmp_path_factory.mktemp(verdict)
        candidate = make_candidate(folder, f"cell{shift}", verdict, shift)
        register_candidate(tracking, MODEL, candidate, run, {})
    return tracking


@pytest.fixture
def registry(registered):
    """The four versions, with nothing promoted yet and ``candidate`` on version 2."""
    client = registered.client
    for alias in aliases(registered, MODEL):
        client.delete_registered_model_alias(MODEL, alias)
    client.set_registered_model_alias(MODEL, "candidate", "2")
    for found in client.search_registered_models(f"name LIKE '{MODEL}.move.%'"):
        client.delete_registered_model(found.name)
    return registered


def judged(decision):
    """A judge who says ``decision`` and notes whom it was asked about."""

    def judge(challenger, champion):
        judge.asked.append((challenger, champion))
        said = "buy: non-inferior" if decision == "pass" else "buy: not shown non-inferior"
        return Comparison(decision=decision, test_set="g" * 64, reasons=(said,))

    judge.asked = []
    return judge


PASSING = judged("pass")


def versions_of_moves(registry):
    return [move.version for move in read_log(registry, MODEL).moves]


def test_promotion_moves_champion_and_keeps_previous(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    assert aliases(registry, MODEL) == {"champion": 1, "candidate": 2}
    move = promote(registry, MODEL, "candidate", expect_champion=1, judge=PASSING)
    assert (move.number, move.version, move.before, move.override) == (2, 2, 1, False)
    assert aliases(registry, MODEL) == {"champion": 2, "previous": 1}
    assert move.why == "the gate's verdict is promote"
    assert move.evidence.verdict == "promote"
    assert move.evidence.comparison.decision == "pass"
    assert move.evidence.bundle_digest == load_version(registry, MODEL, 2).digest
    assert read_log(registry, MODEL).moves[1] == move


@pytest.mark.parametrize("expected", [None, 2])
def test_another_champion_than_expected_is_a_conflict(registry, expected):
    promote(registry, MODEL, 1, expect_champion=None)
    with pytest.raises(UserError, match=r"the champion is 1, not .* --expect-champion 1"):
        promote(registry, MODEL, 2, expect_champion=expected)
    assert aliases(registry, MODEL)["champion"] == 1
    assert versions_of_moves(registry) == [1]


def test_no_champion_where_one_is_expected_is_a_conflict(registry):
    with pytest.raises(UserError, match=r"the champion is none, not 1; .* --expect-champion none"):
        promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)


@pytest.mark.parametrize(("version", "verdict"), [(3, "hold"), (4, "reject")])
def test_hold_and_reject_need_an_override_that_is_recorded(registry, version, verdict):
    with pytest.raises(UserError) as raised:
        promote(registry, MODEL, version, expect_champion=None)
    assert str(raised.value) == (
        f'market version {version} has the verdict {verdict} ["click: {verdict}"]; '
        "to promote it all the same, --override"
    )
    assert "champion" not in aliases(registry, MODEL)
    move = promote(
        registry, MODEL, version, expect_champion=None, override_reason="the old one\nis worse"
    )
    assert move.override
    assert move.why == "the old one is worse"
    assert read_log(registry, MODEL).moves == [move]


def test_a_tag_does_not_make_a_verdict(registry):
    registry.client.set_model_version_tag(MODEL, "3", "counterpoint.verdict", "promote")
    try:
        with pytest.raises(UserError, match="market version 3 has the verdict hold"):
            promote(registry, MODEL, 3, expect_champion=None)
        (fault,) = model_faults(registry, MODEL)
        assert fault.startswith("market version 3: tagged promote, but its card says hold; find")
    finally:
        registry.client.set_model_version_tag(MODEL, "3", "counterpoint.verdict", "hold")


def test_an_override_that_was_not_needed_is_none(registry):
    move = promote(registry, MODEL, 1, expect_champion=None, override_reason="to be sure")
    assert not move.override


def test_a_champion_is_replaced_after_a_test_against_it_and_not_without(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    with pytest.raises(UserError, match="version 2 was not tested against version 1, the champion"):
        promote(registry, MODEL, 2, expect_champion=1)
    judge = judged("fail")
    line = (
        r"did not pass against version 1, the champion \(buy: not shown non-inferior\); to promote"
    )
    with pytest.raises(UserError, match=line):
        promote(registry, MODEL, 2, expect_champion=1, judge=judge)
    assert judge.asked == [(2, 1)]
    assert versions_of_moves(registry) == [1]
    move = promote(
        registry, MODEL, 2, expect_champion=1, judge=judge, override_reason="a legal demand"
    )
    assert (move.override, move.why) == (True, "a legal demand")
    assert move.evidence.comparison.decision == "fail"


def test_the_first_champion_needs_no_test_against_another(registry):
    judge = judged("fail")
    assert (
        promote(registry, MODEL, 1, expect_champion=None, judge=judge).evidence.comparison is None
    )
    assert judge.asked == []


def test_two_who_saw_the_same_champion_do_not_both_move_it(registry, monkeypatch):
    append = promotion.append

    def slow_append(tracking, model, move):
        monkeypatch.setattr(promotion, "append", append)
        promote(registry, MODEL, 2, expect_champion=None)  # the other one, in between
        append(tracking, model, move)

    monkeypatch.setattr(promotion, "append", slow_append)
    with pytest.raises(UserError, match=r"made version 2 champion .* meanwhile; look at it"):
        promote(registry, MODEL, 1, expect_champion=None)
    assert aliases(registry, MODEL)["champion"] == 2
    assert versions_of_moves(registry) == [2]


def test_a_mover_that_died_before_the_alias_has_moved_it_all_the_same(registry, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(promotion, "repair", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            promote(registry, MODEL, 2, expect_champion=None)
    assert "champion" not in aliases(registry, MODEL)
    with pytest.raises(
        UserError, match=r"the champion is 2, not none \(.* made version 2 champion"
    ):
        promote(registry, MODEL, 1, expect_champion=None)
    assert repair(registry, MODEL) == {"champion": 2, "candidate": None}
    assert aliases(registry, MODEL) == {"champion": 2}


def test_an_alias_moved_behind_our_back_moves_nothing(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    registry.client.set_registered_model_alias(MODEL, "champion", "3")
    found = resolved(registry, read_log(registry, MODEL), "champion")
    assert int(found.version) == 1
    promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    assert aliases(registry, MODEL) == {"champion": 2, "previous": 1}


def test_repairs_at_the_same_time_end_with_the_longest_log(registry, monkeypatch):
    """One who read a short log writes its alias after another wrote a longer one's."""
    promote(registry, MODEL, 1, expect_champion=None)
    registry.client.delete_registered_model_alias(MODEL, "champion")
    set_alias = registry.client.set_registered_model_alias

    def overtaken(model, alias, version):
        monkeypatch.setattr(registry.client, "set_registered_model_alias", set_alias)
        promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
        set_alias(model, alias, version)

    monkeypatch.setattr(registry.client, "set_registered_model_alias", overtaken)
    repair(registry, MODEL)
    assert aliases(registry, MODEL) == {"champion": 2, "previous": 1}


def test_a_log_that_was_changed_stops_promotions_but_no_rollback(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    registry.client.delete_registered_model(f"{MODEL}.move.000001")
    with pytest.raises(UserError, match="market: move 1 before 2 is gone; see"):
        promote(registry, MODEL, 3, expect_champion=2, judge=PASSING)
    assert rollback(registry, MODEL, "clicks fell").version == 1


def test_a_promotion_that_does_not_score_is_taken_back(registry, monkeypatch):
    promote(registry, MODEL, 1, expect_champion=None)
    working = promotion._working_bundle
    checked = []

    def broken_through_the_alias(tracking, model, version):
        checked.append(version)
        if checked == [2, "champion"]:
            raise UserError("lost")
        return working(tracking, model, version)

    monkeypatch.setattr(promotion, "_working_bundle", broken_through_the_alias)
    with pytest.raises(UserError) as raised:
        promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    assert raised.value.faults == ("lost", "version 1 is champion again")
    assert aliases(registry, MODEL) == {"champion": 1}
    log = read_log(registry, MODEL)
    assert [move.action for move in log.moves] == ["promote", "promote", "rollback"]
    assert log.rolled_back == {2: "version 2 does not score: lost"}


def lost_alias(registry, monkeypatch, then=lambda: None):
    """Someone deletes the alias after the next repair, and does ``then``."""

    def repaired(tracking, model):
        monkeypatch.setattr(promotion, "repair", repair)
        repair(tracking, model)
        registry.client.delete_registered_model_alias(model, "champion")
        then()

    monkeypatch.setattr(promotion, "repair", repaired)


def test_a_promotion_without_its_alias_is_taken_back(registry, monkeypatch):
    promote(registry, MODEL, 1, expect_champion=None)
    lost_alias(registry, monkeypatch)
    with pytest.raises(UserError) as raised:
        promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    missing, back = raised.value.faults
    assert missing.endswith("model 'market' has no version champion; it has 1, 2, 3, 4")
    assert back == "version 1 is champion again"
    assert aliases(registry, MODEL) == {"champion": 1}
    assert versions_of_moves(registry) == [1, 2, 1]


def test_a_first_champion_without_its_alias_is_said_and_stays(registry, monkeypatch):
    lost_alias(registry, monkeypatch)
    with pytest.raises(UserError, match="has no version champion"):
        promote(registry, MODEL, 2, expect_champion=None)
    assert versions_of_moves(registry) == [2]
    assert repair(registry, MODEL) == {"champion": 2}


def test_nobody_elses_move_is_taken_back(registry, monkeypatch):
    promote(registry, MODEL, 1, expect_champion=None)

    def the_other():
        promote(registry, MODEL, 3, expect_champion=2, judge=PASSING, override_reason="faster")
        registry.client.delete_registered_model_alias(MODEL, "champion")

    lost_alias(registry, monkeypatch, the_other)
    with pytest.raises(UserError, match=r"made version 3 champion .* meanwhile; look at it"):
        promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    assert versions_of_moves(registry) == [1, 2, 3]


def test_rollback_restores_previous_and_marks_the_version(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    move = rollback(registry, MODEL, "clicks fell")
    assert (move.action, move.version, move.before, move.why) == ("rollback", 1, 2, "clicks fell")
    assert aliases(registry, MODEL) == {"champion": 1}
    assert [(m.number, m.action, m.version) for m in read_log(registry, MODEL).moves] == [
        (1, "promote", 1),
        (2, "promote", 2),
        (3, "rollback", 1),
    ]
    with pytest.raises(UserError, match="no previous champion to go back to; promote a version"):
        rollback(registry, MODEL, "once more")


def test_what_was_rolled_back_needs_an_override(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    rollback(registry, MODEL, "clicks fell")
    with pytest.raises(UserError, match=r"version 2 was rolled back \(clicks fell\); to promote"):
        promote(registry, MODEL, 2, expect_champion=1, judge=PASSING)
    reason = "the logs were wrong"
    promote(registry, MODEL, 2, expect_champion=1, judge=PASSING, override_reason=reason)
    assert read_log(registry, MODEL).rolled_back == {}


def test_the_champion_is_not_promoted_again(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    with pytest.raises(UserError, match="market version 1 is the champion already"):
        promote(registry, MODEL, 1, expect_champion=1)


def test_a_stored_bundle_that_is_lost_is_not_promoted(registry, monkeypatch):
    def lost(*_):
        raise OSError("no such file")

    monkeypatch.setattr(versions, "stored", lost)
    with pytest.raises(UserError, match=r"the stored bundle of market version 1 is lost \(no such"):
        promote(registry, MODEL, 1, expect_champion=None, override_reason="hurry")
    assert versions_of_moves(registry) == []


def test_a_champion_that_was_deleted_is_replaced_and_no_alias_names_it(registry, tmp_path):
    run = registry.client.create_run(experiment_id(registry, "deleted")).info.run_id
    for shift in (7, 8):
        candidate = make_candidate(tmp_path / f"{shift}", "cell", "promote", shift)
        register_candidate(registry, "deleted", candidate, run, {})
    promote(registry, "deleted", 1, expect_champion=None)
    registry.client.delete_model_version("deleted", "1")
    assert repair(registry, "deleted") == {}
    assert "move 1 names version 1, which is gone" in str(model_faults(registry, "deleted"))
    promote(
        registry, "deleted", 2, expect_champion=1, judge=judged("refused"), override_reason="gone"
    )
    assert aliases(registry, "deleted") == {"champion": 2}
    with pytest.raises(UserError, match="'deleted' has no version 1; it has 2"):
        rollback(registry, "deleted", "why not")


def test_a_version_from_elsewhere_is_not_promoted(registry, tmp_path):
    client = registry.client
    if "elsewhere" not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model("elsewhere")
    client.create_model_version("elsewhere", str(tmp_path))
    with pytest.raises(UserError, match="the stored bundle of elsewhere version 1 is lost"):
        promote(registry, "elsewhere", 1, expect_champion=None, override_reason="hurry")


def test_an_unknown_model_is_one_clear_line(registry):
    for action in (
        lambda: promote(registry, "nothing", 1, expect_champion=None),
        lambda: rollback(registry, "nothing", "why"),
    ):
        with pytest.raises(UserError, match="no registered model 'nothing'; register a candidate"):
            action()
