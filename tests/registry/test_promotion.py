import pytest

from counterpoint.errors import UserError
from counterpoint.registry import promotion
from counterpoint.registry.promotion import history, promote, rollback
from counterpoint.registry.tracking import experiment_id
from counterpoint.registry.versions import aliases, register_candidate, version_of

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
    for key in client.get_registered_model(MODEL).tags:
        client.delete_registered_model_tag(MODEL, key)
    for version in (1, 2, 3, 4):
        if promotion.ROLLED_BACK in version_of(registered, MODEL, version).tags:
            client.delete_model_version_tag(MODEL, str(version), promotion.ROLLED_BACK)
    return registered


def test_promotion_moves_champion_and_keeps_previous(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    assert aliases(registry, MODEL) == {"champion": 1, "candidate": 2}
    move = promote(registry, MODEL, "candidate", expect_champion=1)
    assert (move.number, move.version, move.before, move.override) == (2, 2, 1, False)
    assert aliases(registry, MODEL) == {"champion": 2, "previous": 1}
    tags = version_of(registry, MODEL, "champion").tags
    assert tags["counterpoint.champion_by"] == move.who
    assert tags["counterpoint.champion_at"] == move.when
    assert tags["counterpoint.champion_because"] == "the gate's verdict is promote"


@pytest.mark.parametrize("expected", [None, 2])
def test_another_champion_than_expected_is_a_conflict(registry, expected):
    promote(registry, MODEL, 1, expect_champion=None)
    with pytest.raises(UserError, match=r"the champion is 1, not .* --expect-champion 1"):
        promote(registry, MODEL, 2, expect_champion=expected)
    assert aliases(registry, MODEL)["champion"] == 1
    assert len(history(registry, MODEL)) == 1


def test_no_champion_where_one_is_expected_is_a_conflict(registry):
    with pytest.raises(UserError, match=r"the champion is none, not 1; .* --expect-champion none"):
        promote(registry, MODEL, 2, expect_champion=1)


@pytest.mark.parametrize(("version", "verdict"), [(3, "hold"), (4, "reject")])
def test_hold_and_reject_need_an_override_that_is_recorded(registry, version, verdict):
    with pytest.raises(UserError) as raised:
        promote(registry, MODEL, version, expect_champion=None)
    assert str(raised.value) == (
        f'market version {version} has the verdict {verdict} ["click: {verdict}"]; '
        "to promote it all the same, --override REASON"
    )
    assert "champion" not in aliases(registry, MODEL)
    move = promote(
        registry, MODEL, version, expect_champion=None, override_reason="the old one\nis worse"
    )
    assert move.override
    assert move.why == "the old one is worse"
    assert history(registry, MODEL) == [move]


def test_an_override_that_was_not_needed_is_none(registry):
    move = promote(registry, MODEL, 1, expect_champion=None, override_reason="to be sure")
    assert not move.override


def test_two_who_saw_the_same_champion_do_not_both_move_it(registry, monkeypatch):
    claim = promotion._claim

    def slow_claim(tracking, model, move):
        monkeypatch.setattr(promotion, "_claim", claim)
        promote(registry, MODEL, 2, expect_champion=None)  # the other one, in between
        claim(tracking, model, move)

    monkeypatch.setattr(promotion, "_claim", slow_claim)
    with pytest.raises(UserError, match="someone else is moving the champion; look at"):
        promote(registry, MODEL, 1, expect_champion=None)
    assert aliases(registry, MODEL)["champion"] == 2
    assert [move.version for move in history(registry, MODEL)] == [2]


def test_a_move_behind_our_back_is_noticed(registry, monkeypatch):
    client = registry.client
    set_alias = client.set_registered_model_alias

    def overtaken(model, alias, version):
        set_alias(model, alias, version)
        if alias == "champion":
            set_alias(model, alias, "3")

    monkeypatch.setattr(client, "set_registered_model_alias", overtaken)
    with pytest.raises(UserError, match="version 3 became champion while 1 was set"):
        promote(registry, MODEL, 1, expect_champion=None)


def test_rollback_restores_previous_and_marks_the_version(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    promote(registry, MODEL, 2, expect_champion=1)
    move = rollback(registry, MODEL, "clicks fell")
    assert (move.action, move.version, move.before, move.why) == ("rollback", 1, 2, "clicks fell")
    assert aliases(registry, MODEL) == {"champion": 1}
    assert [(m.number, m.action, m.version) for m in history(registry, MODEL)] == [
        (1, "promote", 1),
        (2, "promote", 2),
        (3, "rollback", 1),
    ]
    with pytest.raises(UserError, match="no previous champion to go back to; promote a version"):
        rollback(registry, MODEL, "once more")


def test_what_was_rolled_back_needs_an_override(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    promote(registry, MODEL, 2, expect_champion=1)
    rollback(registry, MODEL, "clicks fell")
    with pytest.raises(UserError, match=r"version 2 was rolled back \(clicks fell\); to promote"):
        promote(registry, MODEL, 2, expect_champion=1)
    promote(registry, MODEL, 2, expect_champion=1, override_reason="the logs were wrong")
    assert promotion.ROLLED_BACK not in version_of(registry, MODEL, 2).tags


def test_the_champion_is_not_promoted_again(registry):
    promote(registry, MODEL, 1, expect_champion=None)
    with pytest.raises(UserError, match="market version 1 is the champion already"):
        promote(registry, MODEL, 1, expect_champion=1)


def test_a_stored_bundle_that_is_lost_is_not_promoted(registry, monkeypatch):
    monkeypatch.setattr(promotion, "stored_bundle_digest", lambda *_: None)
    with pytest.raises(UserError, match="version 1: its stored bundle is not one that"):
        promote(registry, MODEL, 1, expect_champion=None, override_reason="hurry")


def test_a_version_from_elsewhere_is_not_promoted(registry, tmp_path):
    client = registry.client
    if "elsewhere" not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model("elsewhere")
    client.create_model_version("elsewhere", str(tmp_path))
    with pytest.raises(UserError, match="version 1 has the verdict None; to promote it"):
        promote(registry, "elsewhere", 1, expect_champion=None)
    with pytest.raises(UserError, match="not one that Counterpoint registered"):
        promote(registry, "elsewhere", 1, expect_champion=None, override_reason="hurry")


def test_an_unknown_model_is_one_clear_line(registry):
    for action in (
        lambda: promote(registry, "nothing", 1, expect_champion=None),
        lambda: rollback(registry, "nothing", "why"),
        lambda: history(registry, "nothing"),
    ):
        with pytest.raises(UserError, match="no registered model 'nothing'; register a candidate"):
            action()
