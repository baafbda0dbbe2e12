"""The log of the champion's moves: the truth about who is champion and who was.

MLflow sets an alias blindly, keeps no history and has no compare-and-set over HTTP. What each of
its stores does enforce is that the name of a registered model is unique. So a move is a registered
model of its own, without versions, named after the model and the number of the move: of all who
try to write move 7 the store lets one through and turns the others away. The aliases ``champion``
and ``previous`` are read off the log and can be repaired from it at any time.

An entry states the digest of the one before it: a changed entry and a gap before the last are
noticed. Who changes or deletes the last entry is not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from uuid import uuid4

from pydantic import Field, ValidationError

from counterpoint.data.schema import Strict
from counterpoint.errors import UserError
from counterpoint.files import json_text, sha256_of_text
from counterpoint.registry.tracking import PREFIX, Tracking, every_page

_TEXT = f"{PREFIX}move."
_LONGEST_TAG = 4000  # a registered model's tag holds 5000 characters; a longer entry takes several


class Comparison(Strict):
    """What a test of the challenger against the champion said; ``test_set`` is a graph's digest."""

    decision: Literal["pass", "fail", "refused"]
    test_set: str
    reasons: tuple[str, ...]


class Evidence(Strict):
    """What a promotion rests on; ``comparison`` is None where there was no champion."""

    verdict: str
    bundle_digest: str
    report_digest: str
    comparison: Comparison | None = None


class Move(Strict):
    """One move of ``champion``; ``before`` None: there was no champion.

    ``follows`` is the digest of the move before, ``token`` tells one's own entry from another's.
    """

    number: int
    action: Literal["promote", "rollback"]
    version: int
    before: int | None
    who: str
    when: str
    why: str
    override: bool = False
    evidence: Evidence | None = None
    follows: str | None = None
    token: str = Field(default_factory=lambda: uuid4().hex)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that the move states."""
        return sha256_of_text(json_text(self.model_dump(mode="json")))

    @property
    def said(self) -> str:
        """Who did what when, for a message."""
        return f"{self.who} made version {self.version} champion ({self.action}, {self.when})"


@dataclass(frozen=True)
class Log:
    """All moves of a model's champion, the oldest first."""

    model: str
    moves: Sequence[Move]

    @property
    def champion(self) -> int | None:
        """The version that is champion."""
        return self.moves[-1].version if self.moves else None

    @property
    def previous(self) -> int | None:
        """The version that a rollback would go back to; after a rollback there is none."""
        last = self.moves[-1] if self.moves else None
        return last.before if last is not None and last.action == "promote" else None

    @property
    def next_number(self) -> int:
        """The number of the next move."""
        return self.moves[-1].number + 1 if self.moves else 1

    @cached_property
    def rolled_back(self) -> dict[int, str]:
        """Version → why, of those that a rollback left and nobody has promoted since."""
        found: dict[int, str] = {}
        for move in self.moves:
            found.pop(move.version, None)
            if move.action == "rollback" and move.before is not None:
                found[move.before] = move.why
        return found

    def faults(self) -> list[str]:
        """A line for each move that is missing, or that another follows in another wording."""
        found = []
        for before, move in zip([None, *self.moves], self.moves, strict=False):
            expected = before.number + 1 if before else 1
            if move.number != expected:
                missing = f"{expected}" if move.number == expected + 1 else f"{expected}.."
                found.append(f"{self.model}: move {missing} before {move.number} is gone")
            elif move.follows != (before.digest if before else None):
                found.append(f"{self.model}: move {expected - 1} was changed after it was written")
        return found


def read_log(tracking: Tracking, model: str) -> Log:
    """Read the log.

    Raises:
        UserError: an entry is none that Counterpoint wrote.
    """
    entry = re.compile(re.escape(f"{model}.move.") + r"\d{6}")
    found = every_page(tracking.client.search_registered_models, f"name LIKE '{model}.move.%'")
    moves = [_move(one.name, one.tags) for one in found if entry.fullmatch(one.name)]
    return Log(model, sorted(moves, key=lambda move: move.number))


def append(tracking: Tracking, model: str, move: Move) -> None:
    """Write a move, if nobody has written one of its number.

    Raises:
        UserError: somebody has; the line says who.
    """
    from mlflow.exceptions import MlflowException

    name = _entry_name(model, move.number)
    text = move.model_dump_json()
    parts = [text[at : at + _LONGEST_TAG] for at in range(0, len(text), _LONGEST_TAG)]
    tags = {f"{_TEXT}{place:02d}": part for place, part in enumerate(parts)}
    try:
        tracking.client.create_registered_model(name, tags, f"{move.said}: {move.why}"[:1000])
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        standing = _move(name, tracking.client.get_registered_model(name).tags)
        if standing.token != move.token:  # else an answer was lost, and MLflow's client asked again
            raise UserError(
                f"{model}: {standing.said} meanwhile; look at it, then repeat if it still holds"
            ) from None


def _entry_name(model: str, number: int) -> str:
    return f"{model}.move.{number:06d}"


def _move(name: str, tags: dict[str, str]) -> Move:
    text = "".join(tags[key] for key in sorted(tags) if key.startswith(_TEXT))
    try:
        move = Move.model_validate_json(text)
    except ValidationError:
        raise UserError(
            f"registered model {name}: not an entry that Counterpoint wrote; "
            "find out who made it, and restore or delete it"
        ) from None
    if not name.endswith(f".{move.number:06d}"):
        raise UserError(f"registered model {name}: holds move {move.number}; restore its name")
    return move
