"""A challenger against the champion on today's test set: two bundles, scored by the same code."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.evaluation.artefact import ChampionEvidence, ChampionVerdict, against_champion
from counterpoint.evaluation.card import Card, read_card
from counterpoint.graph.store import GraphStore, open_store
from counterpoint.metrics.parts import Kind, Parts
from counterpoint.registry.bundle import Bundle
from counterpoint.registry.identity import entity_hashes
from counterpoint.registry.moves import Comparison
from counterpoint.registry.promotion import Judge
from counterpoint.registry.scores import entity_rows, taken, task_scores
from counterpoint.registry.tracking import Tracking
from counterpoint.registry.versions import load_version, stored_card

if TYPE_CHECKING:
    import pandas as pd


def judge_on(tracking: Tracking, model: str, graph: Path | None) -> Judge | None:
    """What a promotion asks of a challenger: the test on ``graph``; None where there is none."""
    if graph is None:
        return None
    return lambda challenger, champion: compared(tracking, model, challenger, champion, graph)[1]


def compared(
    tracking: Tracking, model: str, challenger: int, champion: int, graph: Path
) -> tuple[ChampionVerdict, Comparison]:
    """Test one version against another on the test set of a graph store (METHODS E.6).

    Margins, metrics and level are those of the challenger's card. A node that a version does not
    know counts as the average node of its type, which is what batch scoring would answer.

    Raises:
        UserError: the graph or the challenger is not there or not what it was.
    """
    store = open_store(graph)
    with stored_card(tracking, model, challenger) as folder:
        card = read_card(folder)
    ours = load_version(tracking, model, challenger)
    try:
        theirs = load_version(tracking, model, champion)
    except UserError as fault:  # a champion that is lost must not be champion for ever
        verdict = ChampionVerdict(decision="refused", tasks=[], reasons=list(fault.faults))
        return verdict, _comparison(verdict, store, [])
    targets = {name: task for name, task in store.meta.tasks.items() if task.role == "target"}
    lacking = _lacking(targets, card, ours)
    if lacking:
        verdict = ChampionVerdict(decision="refused", tasks=[], reasons=lacking)
        return verdict, _comparison(verdict, store, [])
    shared = [name for name in targets if name in theirs.contents.tasks]
    notes = [f"{name}: the champion has no such task" for name in targets if name not in shared]
    notes += [note for name in shared if (note := _unknown_note(name, store, theirs, "champion"))]
    notes += [note for name in shared if (note := _unknown_note(name, store, ours, "challenger"))]
    evidence = [_evidence(name, store, card, ours, theirs) for name in shared]
    verdict = against_champion(evidence, card.gate)
    return verdict, _comparison(verdict, store, notes)


def bundle_parts(bundle: Bundle, store: GraphStore, name: str) -> Parts:
    """Metric parts of a bundle on the test rows of a graph store, whichever graph it is from."""
    task, rows = store.meta.tasks[name], store.rows(name, "test")
    cluster = rows.entity[:, 0] if task.is_pair else rows.entity
    row = np.arange(len(rows), dtype=np.int64)
    if task.kind is TaskKind.LINK:
        rank, n_candidates = _bundle_ranks(bundle, store, name, rows.entity)
        return Parts.of_ranks(cluster=cluster, row=row, rank=rank, n_candidates=n_candidates)
    score = task_scores(bundle, name, entity_frame(store, task, rows.entity), "average")
    return Parts(cast(Kind, task.kind.value), cluster, row, rows.label, score)


def _bundle_ranks(
    bundle: Bundle, store: GraphStore, name: str, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    import torch

    from counterpoint.nn.heads import PairFactors
    from counterpoint.training.scoring import ranks, scores_of_factors

    sides = []
    for side, node_type in zip(("src", "dst"), store.meta.tasks[name].node_types, strict=True):
        rows = bundle.ids[node_type].rows(store.ids(node_type))
        vector, bias = (taken(bundle.tensors[f"{name}.{side}{end}"], rows) for end in ("", "_bias"))
        sides.append(PairFactors(torch.from_numpy(vector), torch.from_numpy(bias)))
    return ranks(store, name, pairs, scores_of_factors(*sides))


def entity_frame(store: GraphStore, task: Task, entity: np.ndarray) -> "pd.DataFrame":
    """The entities by their external ids, as a request names them."""
    import pandas as pd

    columns = entity.T if task.is_pair else entity[None]
    named = zip(task.id_columns, task.node_types, columns, strict=True)
    return pd.DataFrame(
        {column: pd.Series(store.ids(node_type)[at]) for column, node_type, at in named}
    )


def _evidence(
    name: str, store: GraphStore, card: Card, challenger: Bundle, champion: Bundle
) -> ChampionEvidence:
    task, entity = store.meta.tasks[name], store.rows(name, "test").entity
    judged = next(judged for judged in card.verdict.tasks if judged.name == name)
    ids = {node_type: store.ids(node_type) for node_type in task.node_types}
    seen = np.isin(entity_hashes(task.node_types, entity, ids), champion.trained_on[name])
    return ChampionEvidence(
        name=name,
        metric=judged.metric,
        margin=judged.margin,
        cluster_type=task.node_types[0],
        challenger=bundle_parts(challenger, store, name),
        champion=bundle_parts(champion, store, name),
        champion_training_rows=np.flatnonzero(seen),
    )


def _lacking(targets: Mapping[str, Task], card: Card, challenger: Bundle) -> list[str]:
    judged = {task.name for task in card.verdict.tasks}
    return [
        f"{name}: a target today, but no target of the challenger; train one that has it"
        for name in targets
        if name not in judged or name not in challenger.contents.tasks
    ]


def _unknown_note(name: str, store: GraphStore, bundle: Bundle, who: str) -> str | None:
    task, entity = store.meta.tasks[name], store.rows(name, "test").entity
    known = entity_rows(bundle, name, entity_frame(store, task, entity))
    count = int(np.any([rows < 0 for rows in known], axis=0).sum())
    if not count:
        return None
    return f"{name}: {count} of {len(entity)} test rows have a node that the {who} does not know"


def _comparison(verdict: ChampionVerdict, store: GraphStore, notes: list[str]) -> Comparison:
    reasons = (*verdict.reasons, *notes)
    return Comparison(decision=verdict.decision, test_set=store.digest, reasons=reasons)
