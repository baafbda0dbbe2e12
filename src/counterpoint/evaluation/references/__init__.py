"""Simple references that stand beside every table, fitted on training rows alone.

Validation rows choose a penalty or calibrate a score, as they do for the models; the rows being
scored move nothing. A reference that does not apply (no features, no sibling task, too much work)
is left out.
"""

from pathlib import Path

from counterpoint.data.schema import TaskKind
from counterpoint.evaluation.references.links import SEEN_ELSEWHERE, link_references
from counterpoint.evaluation.references.nodes import node_references
from counterpoint.evaluation.references.pairs import pair_references
from counterpoint.evaluation.references.planted import bayes_reference
from counterpoint.graph.store import GraphStore
from counterpoint.metrics import Parts

__all__ = ["reference_notes", "reference_parts"]


def reference_parts(
    store: GraphStore, task_name: str, split: str, data_path: Path | None, seed: int
) -> dict[str, Parts]:
    """Metric parts of every simple reference of a task, by the reference's name.

    They hold the same rows, clusters and candidates as a model's
    (:func:`counterpoint.training.scoring.scored_parts`), so that the same metrics apply.

    Args:
        store: the graph store.
        task_name: one of its tasks.
        split: ``valid`` or ``test``.
        data_path: the data-set folder; where it holds the planted truth, the Bayes-optimal score
            is among the references.
        seed: of the randomised SVD, and of the draw of rows where there are very many.
    """
    from threadpoolctl import threadpool_limits

    task = store.meta.tasks[task_name]
    with threadpool_limits(1):  # sums in one order, so equal bits on any number of cores
        if task.kind is TaskKind.LINK:
            found = link_references(store, task_name, split, seed)
        elif task.is_pair:
            found = pair_references(store, task_name, split, seed)
        else:
            found = node_references(store, task_name, split)
    bayes = bayes_reference(store, task_name, split, data_path)
    return found if bayes is None else {**found, "Bayes-optimal": bayes}


def reference_notes(store: GraphStore) -> list[str]:
    """What a reader of the references must know, a sentence each."""
    links = [task.node_types for task in store.meta.tasks.values() if task.kind is TaskKind.LINK]
    if store.meta.cross_task == "drop" and len(set(links)) < len(links):
        return [
            f"“{SEEN_ELSEWHERE}” knows what training holds: cross_task is drop, so a pair that one "
            "task holds out has been taken out of the other tasks' training rows."
        ]
    return []
