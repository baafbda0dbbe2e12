"""From run directories to verdicts: what is compared with what, and which candidates are tested."""

from dataclasses import dataclass
from pathlib import Path

from counterpoint.data.schema import Task
from counterpoint.errors import UserError
from counterpoint.evaluation.choice import best_on_validation, reference_twin
from counterpoint.evaluation.evidence import GateSettings, TaskEvidence, TwinEvidence
from counterpoint.evaluation.gate import Verdict, judge, judge_candidates
from counterpoint.evaluation.preflight import PreflightTask, preflight
from counterpoint.graph.store import GraphMeta
from counterpoint.metrics import value
from counterpoint.metrics.values import default_margin
from counterpoint.stages.params import Params
from counterpoint.training.cell import JOINT, Run, open_run
from counterpoint.training.settings import cell_named


@dataclass(frozen=True)
class Judged:
    """Verdicts by candidate, preflight by encoder, and the candidate chosen on validation.

    ``twins``: by encoder and target, the cell of the twin that is compared with.
    """

    verdicts: dict[str, Verdict]
    twins: dict[str, dict[str, str]]
    preflight: dict[str, list[PreflightTask]]
    chosen: str | None


def open_runs(folder: Path, grid: tuple[str, ...], graph_digest: str) -> dict[str, Run]:
    """The verified run directories of the grid, all trained on one graph."""
    runs = {name: open_run(folder / name) for name in grid}
    stale = [name for name, run in runs.items() if run.config["graph"] != graph_digest]
    if stale:
        raise UserError(
            *(f"{folder / name}: trained on another graph; train it again" for name in stale)
        )
    return runs


def gate_settings(params: Params) -> GateSettings:
    """The gate's settings; looks default to the number of seeds."""
    values = {"looks": (len(params.seeds),), **params.evaluate.gate}
    return GateSettings.model_validate(values)


def margin_of(name: str, task: Task, params: Params, twin: Run) -> float:
    """The margin of a task: params.yaml, else dataset.yaml, else the metric's default."""
    stated = params.evaluate.margins.get(name, task.margin)
    if stated is not None:
        return stated
    return default_margin(task.metric, [twin.parts(name, "valid", seed) for seed in twin.seeds])


def reference_runs(meta: GraphMeta, twins: dict[str, Run]) -> dict[str, Run]:
    """For each target, of one encoder's twins (as it is, wider) the better one on validation."""

    def chosen(name: str, task: Task) -> str:
        if len(twins) == 1:
            return next(iter(twins))
        return reference_twin(
            task.metric,
            {
                cell: [value(task.metric, run.parts(name, "valid", seed)) for seed in run.seeds]
                for cell, run in twins.items()
            },
        )

    targets = {name: task for name, task in meta.tasks.items() if task.role == "target"}
    return {name: twins[chosen(name, task)] for name, task in targets.items()}


def twin_evidence(meta: GraphMeta, params: Params, twins: dict[str, Run]) -> list[TwinEvidence]:
    """What the reference twin of each target scored on the test set."""
    return [
        TwinEvidence(
            name=name,
            metric=meta.tasks[name].metric,
            margin=margin_of(name, meta.tasks[name], params, twin),
            cluster_type=meta.tasks[name].node_types[0],
            twin={seed: twin.parts(name, "test", seed) for seed in twin.seeds},
        )
        for name, twin in twins.items()
    ]


def _evidence(twins: list[TwinEvidence], joint: Run) -> list[TaskEvidence]:
    return [
        TaskEvidence(
            **vars(twin), joint={seed: joint.parts(twin.name, "test", seed) for seed in joint.seeds}
        )
        for twin in twins
    ]


def _validation_scores(run: Run) -> dict[int, float]:
    return {seed: run.metrics["selection"][str(seed)][JOINT]["score"] for seed in run.seeds}


def _names(references: dict[str, dict[str, Run]]) -> dict[str, dict[str, str]]:
    return {
        encoder: {task: run.cell.name for task, run in of_task.items()}
        for encoder, of_task in references.items()
    }


def judged(meta: GraphMeta, params: Params, runs: dict[str, Run]) -> Judged:
    """Preflight every encoder's twins, choose on validation, and test what params ask for."""
    settings = gate_settings(params)
    cells = {name: cell_named(name) for name in runs}
    of_encoder: dict[str, dict[str, Run]] = {}
    for name, cell in cells.items():
        if cell.is_twin:
            of_encoder.setdefault(cell.encoder, {})[name] = runs[name]
    references = {encoder: reference_runs(meta, found) for encoder, found in of_encoder.items()}
    twins = {encoder: twin_evidence(meta, params, found) for encoder, found in references.items()}
    candidates = [name for name, cell in cells.items() if not cell.is_twin]
    outlook = {encoder: preflight(evidence, settings) for encoder, evidence in twins.items()}
    if not candidates:
        return Judged({}, _names(references), outlook, None)
    scores = {name: _validation_scores(runs[name]) for name in candidates}
    chosen = best_on_validation(
        {name: sum(of_seed.values()) / len(of_seed) for name, of_seed in scores.items()}
    )
    evidence = {name: _evidence(twins[cells[name].encoder], runs[name]) for name in candidates}
    if params.evaluate.candidates == "all":
        verdicts = judge_candidates(evidence, settings, scores)
        return Judged(verdicts, _names(references), outlook, chosen)
    verdict = judge(chosen, evidence[chosen], settings, scores[chosen])
    return Judged({chosen: verdict}, _names(references), outlook, chosen)
