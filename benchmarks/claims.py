"""Which of the papers' claims hold here? Verdicts by rule, from what is checked in.

benchmarks/claims.yaml has each claim in our own words and the comparisons that answer it: a cell
of a study less another one, or less every cell that a pattern names, on test, paired by seed. A
claim on a figure is judged by the figure's own benchmark, and one that no study answers says why.
Nothing here trains: what is not there names the command that computes it.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from benchmarks.intervals import over_seeds
from benchmarks.paper_tables import CHANCE, relaimpr
from counterpoint.data.schema import read_yaml
from counterpoint.files import read_json
from counterpoint.metrics import metric_named

CLAIMS = Path(__file__).with_suffix(".yaml")
VERDICTS = ("holds", "does not hold", "open", "not computed")
Unit = Literal["difference", "percent", "relaimpr"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ground(Strict):
    """What of a study is compared where a comparison does not say otherwise."""

    tasks: list[str]
    metric: str
    encoder: str = ""


class Comparison(Strict):
    """``cell`` less each cell that a pattern of ``less`` names, itself left out.

    Each task of each study is compared by itself. ``than`` is the study of the other cells where
    that is another one, with the same seeds. With ``keeps`` the cell is compared with a point so
    far on the way from ``twin`` to the other: above it, it keeps that share of the other's gain.
    """

    studies: list[str]
    cell: str
    less: list[str]
    than: str = ""
    tasks: list[str] = []
    metric: str = ""
    keeps: float = 1.0
    twin: str = ""


class Claim(Strict):
    """Holds where the gain, in ``unit``, is above ``above``.

    ``figure`` is a file of results whose ``claims`` are judged and have this one; ``cannot`` is
    why nothing is compared.
    """

    says: str
    above: float = 0.0
    unit: Unit = "difference"
    comparisons: list[Comparison] = []
    figure: str = ""
    cannot: str = ""


class Claims(Strict):
    grounds: dict[str, Ground]
    claims: dict[str, list[Claim]]


class NotComputedError(Exception):
    """Why there is no number yet."""


class Question(Strict):
    """One comparison of one task of one study."""

    study: str
    task: str
    metric: str
    cell: str
    than: str
    less: list[str]
    keeps: float
    twin: str


def questions(asked: Comparison, grounds: dict[str, Ground]) -> list[Question]:
    found = []
    for study in asked.studies:
        ground = grounds[study]
        cell, twin, *less = (
            name.replace("ENCODER", ground.encoder)
            for name in (asked.cell, asked.twin, *asked.less)
        )
        for task in asked.tasks or ground.tasks:
            metric, than = asked.metric or ground.metric, asked.than or study
            found.append(
                Question(
                    study=study,
                    task=task,
                    metric=metric,
                    cell=cell,
                    than=than,
                    less=less,
                    keeps=asked.keeps,
                    twin=twin,
                )
            )
    return found


def on_test(results: Path, study: str) -> tuple[list[int], dict[str, Any]]:
    """A study's seeds, and by cell, task and metric the values on test, seed after seed."""
    path, command = results / f"{study}.json", f"`python -m benchmarks.results {study}`"
    if not path.is_file():
        raise NotComputedError(command)
    found = read_json(path)
    if "on_test" not in found:
        raise NotComputedError(f"no values by seed: {command}")
    return found["seeds"], found["on_test"]


def by_seed(results: Path, study: str, cell: str, asked: Question) -> dict[int, float]:
    """The metric on test by seed."""
    seeds, found = on_test(results, study)
    values = found.get(cell, {}).get(asked.task, {}).get(asked.metric)
    if values is None or None in values:
        raise NotComputedError(f"`{study}` has no {asked.metric} of {asked.task} by `{cell}`")
    return dict(zip(seeds, values, strict=True))


def gains(unit: Unit, metric: str, own: Sequence[float], other: Sequence[float]) -> list[float]:
    """How much better ``own`` is, pair by pair."""
    pairs = list(zip(own, other, strict=True))
    if unit == "relaimpr":
        return [relaimpr(a, b) for a, b in pairs]
    sign = metric_named(metric).orientation
    if unit == "percent":
        return [sign * 100 * (a / b - 1) for a, b in pairs]
    return [sign * (a - b) for a, b in pairs]


def compared(results: Path, unit: Unit, asked: Question) -> dict[str, dict[str, float]]:
    """By opponent the mean gain over it, with its interval and number of seeds.

    Raises:
        NotComputedError: something is not in ``results``; says what.
    """
    own = by_seed(results, asked.study, asked.cell, asked)
    opponents = [
        cell
        for cell in on_test(results, asked.than)[1]
        if any(fnmatch(cell, pattern) for pattern in asked.less)
        and (asked.than, cell) != (asked.study, asked.cell)
    ]
    if not opponents:
        raise NotComputedError(f"`{asked.than}` has no cell {', '.join(asked.less)}")
    found = {}
    for cell in opponents:
        other = by_seed(results, asked.than, cell, asked)
        if asked.twin:
            twin = by_seed(results, asked.than, asked.twin, asked)
            other = {s: asked.keeps * v + (1 - asked.keeps) * twin[s] for s, v in other.items()}
        seeds = sorted(own.keys() & other.keys())
        if len(seeds) < 2:
            raise NotComputedError(f"`{asked.study}` and `{asked.than}` share fewer than two seeds")
        if unit == "relaimpr" and min(other.values()) <= CHANCE:
            continue  # nothing to be relative to
        sides = ([side[seed] for seed in seeds] for side in (own, other))
        found[cell] = {**over_seeds(gains(unit, asked.metric, *sides)), "seeds": len(seeds)}
    if not found:
        raise NotComputedError("RelaImpr: nothing it is compared with is above chance")
    return found


def verdict(found: dict[str, dict[str, float]], above: float) -> str:
    """The rule: every interval above what is claimed, any below it, or neither."""
    if all(gain["low"] > above for gain in found.values()):
        return "holds"
    return "does not hold" if any(gain["high"] < above for gain in found.values()) else "open"


def judged(results: Path, claim: Claim, asked: Question) -> dict[str, str]:
    """A row of the page; shown is the opponent that decides."""
    where = f"`{asked.study}`, {asked.task}, {asked.metric}: `{asked.cell}` less "
    if asked.twin:
        where += f"{100 * asked.keeps:.0f} % of the way from `{asked.twin}` to "
    than = f" of `{asked.than}`" if asked.than != asked.study else ""
    try:
        found = compared(results, claim.unit, asked)
    except NotComputedError as missing:
        where += ", ".join(f"`{pattern}`" for pattern in asked.less) + than
        return {"where": where, "ours": str(missing), "verdict": "not computed"}
    said = verdict(found, claim.above)
    bound = "high" if said == "does not hold" else "low"
    hardest = min(found, key=lambda cell: found[cell][bound])
    among = f" (of {len(found)})" if len(found) > 1 else ""
    form = "{:+.4f}" if claim.unit == "difference" else "{:+.2f} %"
    mean, low, high = (form.format(found[hardest][key]) for key in ("mean", "low", "high"))
    wanted = f", claimed {form.format(claim.above)}" if claim.above else ""
    return {
        "where": f"{where}`{hardest}`{than}{among}",
        "ours": f"{mean} ({low} to {high}; {found[hardest]['seeds']} seeds){wanted}",
        "verdict": said,
    }


def of_figure(results: Path, claim: Claim) -> dict[str, str]:
    """A row of the page; without an interval nothing is refuted."""
    path, where = results / f"{claim.figure}.json", f"`{claim.figure}`"
    if not path.is_file():
        return {"where": where, "ours": "", "verdict": "not computed"}
    (found,) = (one for one in read_json(path)["claims"] if one["says"] == claim.says)
    said = "holds" if found["holds"] else "open"
    return {"where": where, "ours": found["found"], "verdict": said}


def rows_of(results: Path, claim: Claim, grounds: dict[str, Ground]) -> list[dict[str, str]]:
    if claim.cannot:
        return [{"where": "–", "ours": claim.cannot, "verdict": "not computed"}]
    if claim.figure:
        return [of_figure(results, claim)]
    asked = (one for comparison in claim.comparisons for one in questions(comparison, grounds))
    return [judged(results, claim, one) for one in asked]


def by_paper(results: Path) -> list[dict[str, Any]]:
    """What the page shows: each paper's claims, and how many comparisons have which verdict."""
    stated = Claims.model_validate(read_yaml(CLAIMS))
    found = []
    for paper, claims in stated.claims.items():
        shown = [
            {"says": claim.says, "rows": rows_of(results, claim, stated.grounds)}
            for claim in claims
        ]
        said = [row["verdict"] for claim in shown for row in claim["rows"]]
        counts = {name: said.count(name) for name in VERDICTS}
        found.append({"paper": paper, "claims": shown, "counts": counts})
    return found
