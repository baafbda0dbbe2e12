"""The model card of a candidate (Mitchell et al. 2019): card.json, and card.md for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from counterpoint.data.schema import one_line_faults
from counterpoint.errors import UserError
from counterpoint.evaluation.evidence import GateSettings
from counterpoint.evaluation.gate import Verdict
from counterpoint.evaluation.report import (
    aligned,
    number,
    short,
    signed,
    state_word,
    verdict_sentence,
)
from counterpoint.evaluation.slices import Slice
from counterpoint.evaluation.templates import templates
from counterpoint.files import read_json, write_json, write_text
from counterpoint.metrics import Parts

CARD_JSON, CARD_MARKDOWN = "card.json", "card.md"
BINS = 10


class Bin(BaseModel):
    """Rows of neighbouring predictions: mean prediction, observed rate, number of rows."""

    model_config = ConfigDict(frozen=True)

    predicted: float
    observed: float
    n: int


class CardTask(BaseModel):
    """A task on the test set, as the seed that ships scored it.

    ``metrics`` is metric → value, None where undefined; ``calibration`` is there for binary tasks.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    entity: list[str]
    role: str
    metrics: dict[str, float | None]
    calibration: list[Bin]
    slices: list[Slice]


class Card(BaseModel):
    """What a version is, on what it was judged, and what it cannot do; no time and no raw id.

    ``twins``: target → the cell of the twin that it was compared with. ``gate`` and the margins in
    ``verdict`` are also the rules of a later test against it.
    """

    model_config = ConfigDict(frozen=True)

    data: str
    data_facts: dict[str, Any]
    seed: int
    tasks: dict[str, CardTask]
    verdict: Verdict
    twins: dict[str, str]
    gate: GateSettings
    limits: list[str]
    lineage: dict[str, str]
    reproduce: str


def calibration(parts: Parts) -> list[Bin]:
    """Predicted and observed rates in ten bins of equally many rows; none but for binary tasks."""
    if parts.kind != "binary":
        return []
    order = np.argsort(parts.score, kind="stable")
    return [
        Bin(
            predicted=float(parts.score[rows].mean()), observed=float(parts.label[rows].mean()), n=n
        )
        for rows in np.array_split(order, BINS)
        if (n := len(rows))
    ]


def limits(verdict: Verdict, samples_ranks: bool, lineage: Mapping[str, str]) -> list[str]:
    """What whoever uses the model must know; whether a task is ranked among a sample."""
    found = [
        "Nodes that were not in the graph are refused; batch scoring can be asked to take the"
        " average node of their type, or to encode them from today's tables where the model can.",
        "Scores say what follows from past data; whether acting on them helps was not tested.",
        "Only the target tasks were held to a margin; auxiliary tasks may have paid.",
    ]
    if verdict.provisional:
        found.append(f"The verdict is provisional: {len(verdict.seeds)} seeds.")
    if verdict.ships is None or not verdict.ships.passes:
        found.append("The seed that ships does not pass the gate by itself.")
    if samples_ranks:
        found.append("Ranks are among sampled candidates; among all destinations they are lower.")
    if lineage.get("git_dirty") == "true":
        found.append("The code had changes that no commit holds.")
    return found


def write_card(folder: Path, card: Card) -> None:
    """Write card.json and card.md."""
    write_json(folder / CARD_JSON, card.model_dump(mode="json"))
    write_text(folder / CARD_MARKDOWN, markdown(card))


def read_card(folder: Path) -> Card:
    """Read what :func:`write_card` wrote; whoever fetched the folder has verified its manifest."""
    try:
        return Card.model_validate(read_json(folder / CARD_JSON))
    except ValidationError as fault:
        raise UserError(*one_line_faults(folder / CARD_JSON, fault)) from None


def markdown(card: Card) -> str:
    """The card as a page of Markdown."""
    # Markdown is not escaped; names are letters and digits by the schema
    environment = templates(autoescape=False)
    environment.filters |= {"aligned": aligned, "number": number, "short": short, "signed": signed}
    environment.globals |= {"state_word": state_word}
    sentence = verdict_sentence(card.verdict)
    return environment.get_template("card.md.j2").render(card=card, sentence=sentence)
