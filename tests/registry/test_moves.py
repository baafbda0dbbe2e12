import pytest
from mlflow.exceptions import MlflowException

from counterpoint.errors import UserError
from counterpoint.registry import tracking as tracking_module
from counterpoint.registry.moves import Evidence, Log, Move, append, read_log


def move(number: int, version: int = 1, **changes) -> Move:
    fields = {
        "number": number,
        "action": "promote",
        "version": version,
        "before": None,
        "who": "ann",
        "when": "2026-01-01T00:00:00+00:00",
        "why": "better",
    }
    return Move.model_validate(fields | changes)


def chain(*moves: Move) -> list[Move]:
    linked: list[Move] = []
    for one in moves:
        digest = linked[-1].digest if linked else None
        linked.append(one.model_copy(update={"follows": digest}))
    return linked


@pytest.fixture
def model(request):
    return request.node.name


def test_an_empty_log_has_no_champion(tracking, model):
    log = read_log(tracking, model)
    assert (log.champion, log.previous, log.next_number, log.faults()) == (None, None, 1, [])


def test_what_is_written_is_read_whatever_its_length(tracking, model):
    evidence = Evidence(verdict="promote", bundle_digest="b", report_digest="r" * 9000)
    written = chain(move(1, evidence=evidence), move(2, 2, before=1, why="ü" * 3000))
    for one in reversed(written):
        append(tracking, model, one)
    append(tracking, f"{model}.move.of_another", move(1, 9))
    assert read_log(tracking, model).moves == written


def test_a_log_of_several_pages_is_read_to_its_end(tracking, model, monkeypatch):
    monkeypatch.setattr(tracking_module, "_PAGE", 2)
    written = chain(*(move(number, number) for number in range(1, 6)))
    for one in written:
        append(tracking, model, one)
    assert read_log(tracking, model).moves == written


def test_a_number_is_given_once_and_the_second_hears_who_has_it(tracking, model):
    append(tracking, model, move(1, 3, who="bob"))
    line = rf"{model}: bob made version 3 champion \(promote, 2026-01-01T00:00:00\+00:00\) meanw"
    with pytest.raises(UserError, match=line):
        append(tracking, model, move(1, 4))
    assert [one.version for one in read_log(tracking, model).moves] == [3]


def test_an_answer_that_was_lost_is_no_conflict_with_oneself(tracking, model, monkeypatch):
    create = tracking.client.create_registered_model

    def asked_twice(*arguments):
        create(*arguments)
        create(*arguments)

    monkeypatch.setattr(tracking.client, "create_registered_model", asked_twice)
    append(tracking, model, move(1))
    assert len(read_log(tracking, model).moves) == 1


def test_a_store_that_fails_is_not_taken_for_a_conflict(tracking, model, monkeypatch):
    def failing(*_):
        raise MlflowException("disk full")

    monkeypatch.setattr(tracking.client, "create_registered_model", failing)
    with pytest.raises(MlflowException, match="disk full"):
        append(tracking, model, move(1))


def test_champion_previous_and_what_was_rolled_back_follow_from_the_moves():
    def log(*moves):
        return Log("m", moves)

    first, second = move(1, 1), move(2, 2, before=1)
    back = move(3, 1, before=2, action="rollback", why="clicks fell")
    again = move(4, 2, before=1)
    assert (log(first).champion, log(first).previous) == (1, None)
    assert (log(first, second).champion, log(first, second).previous) == (2, 1)
    rolled = log(first, second, back)
    assert (rolled.champion, rolled.previous, rolled.next_number) == (1, None, 4)
    assert rolled.rolled_back == {2: "clicks fell"}
    assert log(first, second, back, again).rolled_back == {}


def test_a_changed_entry_and_a_gap_are_noticed():
    one, two, three = chain(move(1, 1), move(2, 2, before=1), move(3, 3, before=2))
    assert Log("m", [one, two, three]).faults() == []
    assert Log("m", [one, three]).faults() == ["m: move 2 before 3 is gone"]
    assert Log("m", [two, three]).faults() == ["m: move 1 before 2 is gone"]
    assert Log("m", [three]).faults() == ["m: move 1.. before 3 is gone"]
    forged = one.model_copy(update={"who": "eve"})
    assert Log("m", [forged, two, three]).faults() == ["m: move 1 was changed after it was written"]


def test_who_changes_or_deletes_the_last_entry_is_not_noticed():
    """The limit that docs/registry.md states: nothing follows the last entry."""
    one, two = chain(move(1, 1), move(2, 2, before=1))
    assert Log("m", [one, two.model_copy(update={"version": 3})]).faults() == []
    assert Log("m", [one]).faults() == []
    assert Log("m", []).faults() == []


def test_what_is_no_entry_is_one_clear_line(tracking, model):
    tracking.client.create_registered_model(f"{model}.move.000001")
    with pytest.raises(UserError, match=r"move.000001: not an entry that Counterpoint wrote"):
        read_log(tracking, model)
    tracking.client.delete_registered_model(f"{model}.move.000001")
    append(tracking, model, move(7))
    tracking.client.rename_registered_model(f"{model}.move.000007", f"{model}.move.000001")
    with pytest.raises(UserError, match=r"move.000001: holds move 7; restore its name"):
        read_log(tracking, model)
