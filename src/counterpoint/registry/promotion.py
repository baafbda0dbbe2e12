"""Moving ``champion``: only with the gate's verdict, only from where the caller says it stands.

MLflow sets an alias blindly and keeps no history. Here each move is an event: a numbered tag of
the registered model, written before the alias. Whoever finds a second event of the same number
withdraws, so of two movers that saw the same champion at most one goes on.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from counterpoint.data.schema import Strict
from counterpoint.errors import UserError
from counterpoint.registry.served import stored_bundle_digest
from counterpoint.registry.tracking import PREFIX, Tracking, person, redacted
from counterpoint.registry.versions import (
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    aliases,
    logged_model_id,
    version_of,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_EVENT = f"{PREFIX}event."
ROLLED_BACK = f"{PREFIX}rolled_back"


class Move(Strict):
    """One move of ``champion``; None: there was no champion before."""

    number: int
    action: Literal["promote", "rollback"]
    version: int
    before: int | None
    who: str
    when: str
    why: str
    override: bool = False


def promote(
    tracking: Tracking,
    model: str,
    version: int | str,
    *,
    expect_champion: int | None,
    override_reason: str | None = None,
) -> Move:
    """Make ``version`` (a number or an alias) champion; the old champion becomes ``previous``.

    Args:
        tracking: the registry.
        model: name of the registered model.
        version: which one.
        expect_champion: the version that the caller takes for champion, None for no champion.
        override_reason: why a version without a promote verdict, or rolled back, is promoted.

    Raises:
        UserError: the verdict forbids it, the champion is another one, someone else is moving
            it, or the stored model is not the one that was registered.
    """
    past, standing = history(tracking, model), aliases(tracking, model)
    found = version_of(tracking, model, version)
    number, name = int(found.version), f"{model} version {found.version}"
    _expect(model, standing.get(CHAMPION), expect_champion)
    if standing.get(CHAMPION) == number:
        raise UserError(f"{name} is the champion already; nothing to do")
    refusal = _refusal(found.tags)
    if refusal and not override_reason:
        raise UserError(f"{name} {refusal}; to promote it all the same, --override REASON")
    _check_stored(tracking, found)
    why = override_reason if refusal and override_reason else "the gate's verdict is promote"
    move = _next_move(past, "promote", number, standing, why, override=bool(refusal))
    _claim(tracking, model, move)
    if move.before is not None:
        tracking.client.set_registered_model_alias(model, PREVIOUS, str(move.before))
    elif PREVIOUS in standing:
        tracking.client.delete_registered_model_alias(model, PREVIOUS)
    _set_champion(tracking, model, move)
    if standing.get(CANDIDATE) == number:
        tracking.client.delete_registered_model_alias(model, CANDIDATE)
    if ROLLED_BACK in found.tags:
        tracking.client.delete_model_version_tag(model, str(number), ROLLED_BACK)
    return move


def rollback(tracking: Tracking, model: str, reason: str) -> Move:
    """Make ``previous`` champion again; the version that it replaces is marked as rolled back.

    There is then no ``previous``: a second step back is a promotion of a version by number.

    Raises:
        UserError: there is nothing to go back to, or someone else is moving the champion.
    """
    past, standing = history(tracking, model), aliases(tracking, model)
    if PREVIOUS not in standing or CHAMPION not in standing:
        raise UserError(
            f"{model} has no previous champion to go back to; promote a version by its number"
        )
    _check_stored(tracking, version_of(tracking, model, standing[PREVIOUS]))
    move = _next_move(past, "rollback", standing[PREVIOUS], standing, reason)
    _claim(tracking, model, move)
    _set_champion(tracking, model, move)
    tracking.client.delete_registered_model_alias(model, PREVIOUS)
    tracking.client.set_model_version_tag(model, str(move.before), ROLLED_BACK, move.why)
    return move


def history(tracking: Tracking, model: str) -> list[Move]:
    """All moves of ``champion``, the oldest first.

    Raises:
        UserError: no such model.
    """
    aliases(tracking, model)  # says what to do where there is no such model
    tags = tracking.client.get_registered_model(model).tags
    moves = [Move.model_validate_json(tags[key]) for key in sorted(tags) if key.startswith(_EVENT)]
    return sorted(moves, key=lambda move: move.number)


def _expect(model: str, champion: int | None, expected: int | None) -> None:
    if champion != expected:
        now = "none" if champion is None else champion
        raise UserError(
            f"{model}: the champion is {now}, not {'none' if expected is None else expected}; "
            f"see what changed, then repeat with --expect-champion {now}"
        )


def _refusal(tags: Mapping[str, str]) -> str | None:
    verdict = tags.get(f"{PREFIX}verdict")
    if ROLLED_BACK in tags:
        return f"was rolled back ({tags[ROLLED_BACK]})"
    if verdict == "promote":
        return None
    return f"has the verdict {verdict} {tags.get(f'{PREFIX}reasons', '')}".rstrip()


def _check_stored(tracking: Tracking, found: "ModelVersion") -> None:
    stated = found.tags.get(f"{PREFIX}bundle_digest")
    if stated is None or stored_bundle_digest(tracking, logged_model_id(found)) != stated:
        raise UserError(
            f"{found.name} version {found.version}: its stored bundle is not one that Counterpoint "
            "registered, or has changed or gone; run the register stage again"
        )


def _next_move(
    past: Sequence[Move],
    action: Literal["promote", "rollback"],
    version: int,
    standing: Mapping[str, int],
    why: str,
    override: bool = False,
) -> Move:
    return Move(
        number=max((move.number for move in past), default=0) + 1,
        action=action,
        version=version,
        before=standing.get(CHAMPION),
        who=person(),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=redacted(" ".join(why.split())),
        override=override,
    )


def _claim(tracking: Tracking, model: str, move: Move) -> None:
    """Record the move before it is made; withdraw if another claims the same number."""
    key = f"{_EVENT}{move.number:06d}.{uuid4().hex[:8]}"
    tracking.client.set_registered_model_tag(model, key, move.model_dump_json())
    claims = [other for other in history(tracking, model) if other.number == move.number]
    if len(claims) > 1:
        tracking.client.delete_registered_model_tag(model, key)
        raise UserError(
            f"{model}: someone else is moving the champion; look at the history, then repeat"
        )


def _set_champion(tracking: Tracking, model: str, move: Move) -> None:
    client = tracking.client
    client.set_registered_model_alias(model, CHAMPION, str(move.version))
    noted = {"by": move.who, "at": move.when, "because": move.why}
    for key, value in noted.items():
        client.set_model_version_tag(model, str(move.version), f"{PREFIX}champion_{key}", value)
    now = aliases(tracking, model).get(CHAMPION)
    if now != move.version:
        raise UserError(
            f"{model}: version {now} became champion while {move.version} was set; someone else "
            "moved it: look at the history, then repeat"
        )
