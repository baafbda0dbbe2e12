"""The gate: does any target task pay more than its margin for being trained jointly?

METHODS E.6. A task is non-inferior if the lower bound of joint minus twin is above minus its
margin; all targets must be, which is an intersection-union test and needs no correction (Berger
1982), and something must be gained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from counterpoint.evaluation.artefact import Shipping, artefact_reason, shipping
from counterpoint.evaluation.difference import Difference, holm_levels
from counterpoint.evaluation.estimate import TaskScores, mean_relative_difference, task_scores
from counterpoint.evaluation.evidence import MINIMUM_SEEDS, GateSettings, TaskEvidence
from counterpoint.evaluation.sensitivity import Sensitivity, sensitivity
from counterpoint.evaluation.shortfall import shortfall
from counterpoint.metrics import metric_named

State = Literal["non_inferior", "harmed", "open"]
Decision = Literal["promote", "hold", "reject"]


class TaskResult(BaseModel):
    """One target task.

    ``joint`` and ``twin`` are seed means in the metric's own orientation; ``difference``,
    ``per_seed`` and all bounds are oriented so that higher is better. ``lower`` decides
    non-inferiority; ``upper`` (harm) and ``gain_lower`` (gain) are at their Holm levels.
    ``relative`` is the difference in per cent of what the twin is above chance.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    metric: str
    margin: float
    n_rows: int
    n_clusters: int
    joint: float
    twin: float
    difference: Difference
    standard_error: float
    degrees_of_freedom: float
    per_seed: dict[int, float]
    relative: float | None
    lower: float
    upper: float
    upper_level: float
    gain_lower: float
    gain_level: float
    state: State
    significant_drop: bool
    gains: bool
    lacks: str | None
    sensitivity: Sensitivity


class MeanResult(BaseModel):
    """Δ_m over the target tasks, in per cent, chance-corrected."""

    model_config = ConfigDict(frozen=True)

    difference: Difference
    lower: float
    gains: bool


class Verdict(BaseModel):
    """What the gate says of one candidate, and why, in lines that a person reads.

    ``level`` is the one-sided level at which it could promote; ``p_promote`` the smallest level
    at which the same evidence would (Holm over candidates sorts by it).
    """

    model_config = ConfigDict(frozen=True)

    candidate: str
    decision: Decision
    provisional: bool
    seeds: list[int]
    look: str
    level: float
    p_promote: float
    tasks: list[TaskResult]
    mean: MeanResult | None
    negative_transfer_count: int
    worst_task: str
    ships: Shipping | None
    reasons: list[str]


@dataclass(frozen=True)
class Findings:
    """Everything that has been estimated of a candidate, before any level is applied."""

    candidate: str
    scores: list[TaskScores]
    differences: list[Difference]
    mean: Difference | None
    validation: Mapping[int, float] | None


def judge(
    candidate: str,
    tasks: Sequence[TaskEvidence],
    settings: GateSettings,
    validation: Mapping[int, float] | None = None,
) -> Verdict:
    """Judge one candidate on its target tasks.

    ``validation`` is each seed's selection score (mean ``chance_corrected`` over the targets): the
    best seed ships and must pass by itself. Without it no seed is chosen.

    Raises:
        UserError: the evidence is not paired by seeds and rows, or a metric is undefined on it.
    """
    findings = _findings(candidate, tasks, settings, validation)
    return _verdict(findings, settings, settings.level)


def judge_candidates(
    evidence: Mapping[str, Sequence[TaskEvidence]],
    settings: GateSettings,
    validation: Mapping[str, Mapping[int, float]] | None = None,
) -> dict[str, Verdict]:
    """Judge several candidates on one test set, promotions at Holm's level over the candidates.

    Choosing one on validation (``best_on_validation``) and judging that one alone is stronger.
    """
    findings = [
        _findings(candidate, tasks, settings, validation[candidate] if validation else None)
        for candidate, tasks in evidence.items()
    ]
    p_values = [_verdict(found, settings, settings.level).p_promote for found in findings]
    return {
        found.candidate: _verdict(found, settings, level)
        for found, level in zip(findings, holm_levels(p_values, settings.level), strict=True)
    }


def _findings(
    candidate: str,
    tasks: Sequence[TaskEvidence],
    settings: GateSettings,
    validation: Mapping[int, float] | None,
) -> Findings:
    scores = task_scores(tasks, settings)
    return Findings(
        candidate,
        scores,
        [one.difference() for one in scores],
        mean_relative_difference(scores),
        validation,
    )


def _verdict(found: Findings, settings: GateSettings, level: float) -> Verdict:
    """Apply the rules; harm is held to the settings' level, promotion to ``level``."""
    tasks = _task_results(found, settings.level, level)
    mean = _mean_result(found.mean, level)
    ships = None
    if found.validation is not None:
        ships = shipping(found.scores, found.validation, level)
    seeds = list(found.scores[0].seeds)
    lacking = _lacking(tasks, mean, ships, seeds, settings)
    harmed = any(task.state == "harmed" for task in tasks)
    return Verdict(
        candidate=found.candidate,
        decision="reject" if harmed else "hold" if lacking else "promote",
        provisional=len(seeds) < MINIMUM_SEEDS,
        seeds=seeds,
        look=_look(len(seeds), settings),
        level=level,
        p_promote=_p_promote(found, ships, settings),
        tasks=tasks,
        mean=mean,
        negative_transfer_count=sum(task.upper < 0 for task in tasks),
        worst_task=min(tasks, key=lambda task: task.difference.delta / task.margin).name,
        ships=ships,
        reasons=[_task_reason(task) for task in tasks]
        + [_gain_reason(tasks, mean)]
        + ([_shipping_reason(ships)] if ships else [])
        + ([] if harmed else lacking),
    )


def _task_results(found: Findings, harm_level: float, level: float) -> list[TaskResult]:
    harm_levels = holm_levels([one.p_below(0) for one in found.differences], harm_level)
    gain_levels = holm_levels([one.p_above(0) for one in found.differences], level)
    return [
        _task_result(scores, difference, level, of_harm, of_gain)
        for scores, difference, of_harm, of_gain in zip(
            found.scores, found.differences, harm_levels, gain_levels, strict=True
        )
    ]


def _task_result(
    scores: TaskScores, difference: Difference, level: float, harm_level: float, gain_level: float
) -> TaskResult:
    task = scores.task
    orientation = metric_named(task.metric).orientation
    lower, upper = difference.lower(level), difference.upper(harm_level)
    gain_lower = difference.lower(gain_level)
    state: State = "non_inferior" if lower > -task.margin else "harmed" if upper < 0 else "open"
    above = scores.twin_above_chance
    return TaskResult(
        name=task.name,
        metric=task.metric,
        margin=task.margin,
        n_rows=len(task.twin[scores.seeds[0]]),
        n_clusters=scores.n_clusters,
        joint=orientation * float(scores.joint.mean()),
        twin=orientation * float(scores.twin.mean()),
        difference=difference,
        standard_error=difference.standard_error,
        degrees_of_freedom=difference.degrees_of_freedom,
        per_seed=dict(zip(scores.seeds, scores.per_seed.tolist(), strict=True)),
        relative=100 * difference.delta / above if above > 0 else None,
        lower=lower,
        upper=upper,
        upper_level=harm_level,
        gain_lower=gain_lower,
        gain_level=gain_level,
        state=state,
        significant_drop=upper < 0,
        gains=gain_lower > 0,
        lacks=shortfall(difference, -task.margin, level, scores.n_clusters)
        if state == "open"
        else None,
        sensitivity=sensitivity(scores, level),
    )


def _mean_result(mean: Difference | None, level: float) -> MeanResult | None:
    if mean is None:
        return None
    lower = mean.lower(level)
    return MeanResult(difference=mean, lower=lower, gains=lower > 0)


def _p_promote(found: Findings, ships: Shipping | None, settings: GateSettings) -> float:
    """The smallest level that would promote: the worst of non-inferiority, gain and shipping."""
    margins = [one.task.margin for one in found.scores]
    needed = [one.p_above(-margin) for one, margin in zip(found.differences, margins, strict=True)]
    if settings.require_gain:
        of_tasks = len(found.differences) * min(one.p_above(0) for one in found.differences)
        needed.append(min(of_tasks, found.mean.p_above(0)) if found.mean else of_tasks)
    if ships:
        needed += [task.difference.p_above(-task.margin) for task in ships.tasks]
    return min(1.0, max(needed))


def _lacking(
    tasks: Sequence[TaskResult],
    mean: MeanResult | None,
    ships: Shipping | None,
    seeds: Sequence[int],
    settings: GateSettings,
) -> list[str]:
    """What keeps the candidate from being promoted, one line each."""
    lines = [f"lacking, {task.name}: {task.lacks}" for task in tasks if task.state == "open"]
    if settings.require_gain and not (mean and mean.gains) and not any(t.gains for t in tasks):
        best = max(tasks, key=lambda task: task.gain_lower / task.margin)
        lines.append(
            f"lacking, a gain: best is {best.name};"
            f" {shortfall(best.difference, 0.0, best.gain_level, best.n_clusters)}"
        )
    if ships and not ships.passes:
        failing = [artefact_reason(task) for task in ships.tasks if not task.non_inferior]
        lines.append(f"lacking, seed {ships.seed} by itself: {'; '.join(failing)}")
    if len(seeds) < MINIMUM_SEEDS and not settings.allow_provisional:
        lines.append(
            f"lacking, seeds: {len(seeds)} of at least {MINIMUM_SEEDS}; provisional, promoting"
            " needs allow_provisional"
        )
    elif len(seeds) not in settings.looks and len(seeds) >= MINIMUM_SEEDS:
        lines.append(f"lacking, a declared look: {_look(len(seeds), settings)}")
    return lines


def _look(n_seeds: int, settings: GateSettings) -> str:
    if n_seeds in settings.looks:
        return f"look {settings.looks.index(n_seeds) + 1} of {len(settings.looks)}, {n_seeds} seeds"
    declared = ", ".join(map(str, settings.looks))
    return f"{n_seeds} seeds, not a declared look ({declared})"


def _task_reason(task: TaskResult) -> str:
    state = task.state.replace("_", "-")
    if task.state == "non_inferior" and task.significant_drop:
        state += ", with a significant drop inside the margin"
    return (
        f"{task.name}: {state}; {task.metric} {task.difference.delta:+.4g}"
        f" (bounds {task.lower:+.4g}, {task.upper:+.4g}), margin {task.margin:.4g}"
    )


def _gain_reason(tasks: Sequence[TaskResult], mean: MeanResult | None) -> str:
    gaining = [task.name for task in tasks if task.gains]
    line = f"gain: {', '.join(gaining) if gaining else 'no task by itself'}; "
    if mean is None:
        return line + "no mean over tasks, a twin is no better than chance"
    return (
        line + f"mean over tasks {mean.difference.delta:+.3g} % (lower bound {mean.lower:+.3g} %)"
    )


def _shipping_reason(ships: Shipping) -> str:
    return f"ships: seed {ships.seed}, best on validation; passes by itself: {ships.passes}"
