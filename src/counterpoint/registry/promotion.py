"""Moving ``champion``: only with evidence, only from where the caller says it stands.

The log (:mod:`counterpoint.registry.moves`) decides; the aliases follow it.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from counterpoint.errors import UserError, raise_faults
from counterpoint.registry.bundle import Bundle
from counterpoint.registry.moves import Comparison, Evidence, Log, Move, append, read_log
from counterpoint.registry.scores import example_faults
from counterpoint.registry.tracking import PREFIX, Tracking, person, redacted
from counterpoint.registry.versions import (
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    aliases,
    card_verdict,
    load_version,
    version_numbers,
    version_of,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Judge = Callable[[int, int], Comparison]  # of the challenger's and the champion's version


def promote(
    tracking: Tracking,
    model: str,
    version: int | str,
    *,
    expect_champion: int | None,
    judge: Judge | None = None,
    override_reason: str | None = None,
) -> Move:
    """Make ``version`` (a number or an alias) champion; the old champion becomes ``previous``.

    Args:
        tracking: the registry.
        model: name of the registered model.
        version: which one.
        expect_champion: the version that the caller takes for champion, None for no champion.
        judge: tests the version against the champion on today's test set.
        override_reason: why a version is promoted that its verdict, a rollback or the test
            against the champion forbids.

    Raises:
        UserError: something forbids it, the champion is another one, someone else has moved it,
            or the stored model is not the one that was registered.
    """
    log = _log_of(tracking, model)
    raise_faults([f"{fault}; see `counterpoint models history`" for fault in log.faults()])
    found = resolved(tracking, log, version)
    number, name = int(found.version), f"{model} version {found.version}"
    _expect(log, expect_champion)
    if log.champion == number:
        raise UserError(f"{name} is the champion already; nothing to do")
    _working_bundle(tracking, model, number)
    verdict = card_verdict(tracking, model, number)
    comparison = judge(number, log.champion) if judge and log.champion is not None else None
    refusals = [f"{name} {why}" for why in _refusals(log, found, verdict, comparison)]
    if refusals and not override_reason:
        raise UserError(*(f"{line}; to promote it all the same, --override" for line in refusals))
    evidence = Evidence(
        verdict=verdict,
        bundle_digest=found.tags[f"{PREFIX}bundle_digest"],
        report_digest=found.tags[f"{PREFIX}report_digest"],
        comparison=comparison,
    )
    why = override_reason if refusals and override_reason else "the gate's verdict is promote"
    return _move(tracking, log, "promote", number, why, bool(refusals), evidence)


def rollback(tracking: Tracking, model: str, reason: str) -> Move:
    """Make ``previous`` champion again; what it replaces counts as rolled back from then on.

    There is then no ``previous``: a second step back is a promotion of a version by number.

    Raises:
        UserError: there is nothing to go back to, its stored model is lost or changed, or someone
            else has moved the champion.
    """
    log = _log_of(tracking, model)
    if log.previous is None:
        raise UserError(
            f"{model} has no previous champion to go back to; promote a version by its number"
        )
    _working_bundle(tracking, model, log.previous)
    return _move(tracking, log, "rollback", log.previous, reason)


def repair(tracking: Tracking, model: str) -> dict[str, int | None]:
    """Make the aliases say what the log says; return those that did not, with the version now.

    Whoever writes an alias reads the log once more afterwards, so the last of several who repair
    at the same time leaves what the longest log says.
    """
    changed: dict[str, int | None] = {}
    while True:
        log, standing = read_log(tracking, model), aliases(tracking, model)
        wrong = alias_differences(log, standing, version_numbers(tracking, model))
        if not wrong:
            return changed
        for alias, version in wrong.items():
            if version is None:
                tracking.client.delete_registered_model_alias(model, alias)
            else:
                tracking.client.set_registered_model_alias(model, alias, str(version))
        changed |= wrong


def alias_differences(
    log: Log, standing: Mapping[str, int], versions: Collection[int]
) -> dict[str, int | None]:
    """Aliases that do not say what the log says → the version that they should name, if any.

    ``versions`` are those that there are: an alias cannot name one that was deleted.
    """
    named = {CHAMPION: log.champion, PREVIOUS: log.previous}
    due = {name: version if version in versions else None for name, version in named.items()}
    if standing.get(CANDIDATE) == log.champion:
        due[CANDIDATE] = None  # what was promoted is a candidate no more
    return {name: version for name, version in due.items() if standing.get(name) != version}


def resolved(tracking: Tracking, log: Log, version: int | str) -> "ModelVersion":
    """A version by number or alias; ``champion`` and ``previous`` are those of the log.

    Raises:
        UserError: there is none.
    """
    named = {CHAMPION: log.champion, PREVIOUS: log.previous}
    if version in named and named[str(version)] is None:
        raise UserError(f"{log.model} has no {version}; promote a version first")
    return version_of(tracking, log.model, named.get(str(version)) or version)


def expected_champion(text: str) -> int | None:
    """What a caller who is asked for the champion says: the number of a version, or none."""
    if text == "none":
        return None
    if not text.isdigit():
        raise UserError(f"--expect-champion {text!r}: a version number, or none")
    return int(text)


def _log_of(tracking: Tracking, model: str) -> Log:
    aliases(tracking, model)  # says what to do where there is no such model
    return read_log(tracking, model)


def _expect(log: Log, expected: int | None) -> None:
    if log.champion != expected:
        now = "none" if log.champion is None else log.champion
        last = f" ({log.moves[-1].said})" if log.moves else ""
        raise UserError(
            f"{log.model}: the champion is {now}, not {'none' if expected is None else expected}"
            f"{last}; see what changed, then repeat with --expect-champion {now}"
        )


def _refusals(
    log: Log, found: "ModelVersion", verdict: str, comparison: Comparison | None
) -> list[str]:
    """Why the version may not be promoted without an override."""
    number, refusals = int(found.version), []
    if verdict != "promote":
        reasons = found.tags.get(f"{PREFIX}reasons", "")
        refusals.append(f"has the verdict {verdict} {reasons}".rstrip())
    if number in log.rolled_back:
        refusals.append(f"was rolled back ({log.rolled_back[number]})")
    if log.champion is not None and comparison is None:
        refusals.append(
            f"was not tested against version {log.champion}, the champion: give the graph with "
            "today's test set"
        )
    if comparison is not None and comparison.decision != "pass":
        said = "; ".join(comparison.reasons)
        refusals.append(f"did not pass against version {log.champion}, the champion ({said})")
    return refusals


def _working_bundle(tracking: Tracking, model: str, version: int | str) -> Bundle:
    """The stored bundle, rehashed, and scoring its examples as training did."""
    bundle = load_version(tracking, model, version)
    raise_faults([f"{model} version {version}: {fault}" for fault in example_faults(bundle)])
    return bundle


def _move(
    tracking: Tracking,
    log: Log,
    action: Literal["promote", "rollback"],
    version: int,
    why: str,
    override: bool = False,
    evidence: Evidence | None = None,
) -> Move:
    """Write the move, let the aliases follow, and score through the alias once."""
    move = Move(
        number=log.next_number,
        action=action,
        version=version,
        before=log.champion,
        who=person(),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=redacted(" ".join(why.split())),
        override=override,
        evidence=evidence,
        follows=log.moves[-1].digest if log.moves else None,
    )
    append(tracking, log.model, move)
    repair(tracking, log.model)
    _smoke(tracking, log, move)
    return move


def _smoke(tracking: Tracking, log: Log, move: Move) -> None:
    """Score through the alias as a server would; a promotion that cannot is taken back.

    ``log`` is the one before the move. If somebody has moved the champion since, nothing is taken
    back, as the number after the move's is theirs; nor is a first champion, which followed none.

    Raises:
        UserError: it cannot be scored through the alias.
    """
    try:
        _working_bundle(tracking, log.model, CHAMPION)
    except UserError as fault:
        if move.action == "promote" and move.before is not None:
            ours, why = [*log.moves, move], f"version {move.version} does not score: {fault}"
            _move(tracking, Log(log.model, ours), "rollback", move.before, why)
            raise UserError(*fault.faults, f"version {move.before} is champion again") from None
        raise
