"""The model card of a judged run, from its metric parts and the report."""

from collections.abc import Mapping

from counterpoint.data.schema import TaskKind
from counterpoint.evaluation.card import Card, CardTask, calibration, limits
from counterpoint.evaluation.gate import Verdict
from counterpoint.evaluation.report import Report
from counterpoint.evaluation.slices import slices
from counterpoint.graph.store import GraphStore
from counterpoint.stages.judgement import gate_settings
from counterpoint.stages.params import Params
from counterpoint.training.cell import Run

CARD_PARAMS = "card_params.yaml"  # a checkout has a params.yaml of its own


def model_card(
    store: GraphStore,
    run: Run,
    seed: int,
    verdict: Verdict,
    report: Report,
    lineage: Mapping[str, str],
) -> Card:
    """The card of one seed's joint model."""
    ranks = any(task.kind is TaskKind.LINK for task in store.meta.tasks.values())
    samples_ranks = ranks and store.meta.candidates != "all"
    return Card(
        data=report.name,
        data_facts=report.data_facts,
        seed=seed,
        tasks={name: _task(store, run, seed, name) for name in store.meta.tasks},
        verdict=verdict,
        twins=report.twins[run.cell.encoder],
        gate=gate_settings(Params.model_validate(report.parameters)),
        limits=limits(verdict, samples_ranks, lineage),
        lineage=dict(lineage),
        reproduce=_reproduce(lineage),
    )


def _task(store: GraphStore, run: Run, seed: int, name: str) -> CardTask:
    task, parts = store.meta.tasks[name], run.parts(name, "test", seed)
    return CardTask(
        kind=task.kind.value,
        entity=list(task.node_types),
        role=task.role,
        metrics=run.metrics["seeds"][str(seed)][name]["test"],
        calibration=calibration(parts),
        slices=slices(store, name, parts),
    )


def _reproduce(lineage: Mapping[str, str]) -> str:
    """Commands: DVC's where a dvc.lock told of the run's stages, else those of a plain run."""
    commit, data = lineage.get("git_commit"), lineage["data_digest"][:12]
    install = f"git checkout {commit}; make install; . .venv/bin/activate; " if commit else ""
    of = f"Counterpoint {lineage['counterpoint']}, data {data}"
    if "dvc_lock_digest" in lineage:
        return f"{install}dvc repro  # {of}"
    return f"{install}counterpoint run --params {CARD_PARAMS}  # {of}; the file is the card's"
