"""Hint networks for a model's tasks: which tasks get one, and where the hints come from."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from counterpoint.data.schema import Task, TaskKind
from counterpoint.errors import UserError
from counterpoint.graph.store import GraphStore
from counterpoint.nn.hints import HintNetworks, HintSettings

SCORED_AS_ONE = (TaskKind.BINARY, TaskKind.LINK)  # kinds whose prediction is one logit


def make_hints(
    store: GraphStore, tasks: Mapping[str, Task], width: int, settings: HintSettings
) -> HintNetworks:
    """Networks with fresh parameters from torch's current random state, one an auxiliary pair task.

    Args:
        store: the graph.
        tasks: what the model trains; hubs and users are those of the first target on pairs.
        width: of the model's representations.
        settings: number of hubs and layers.

    Raises:
        UserError: no task to help, or no target on pairs to take hubs from.
    """
    pairs = {
        name: task for name, task in tasks.items() if task.is_pair and task.kind in SCORED_AS_ONE
    }
    helped = [name for name, task in pairs.items() if task.role == "auxiliary"]
    targets = [name for name, task in pairs.items() if task.role == "target"]
    if not helped or not targets:
        missing = "auxiliary task" if targets else "target"
        raise UserError(
            f"grid: selar_hint needs a binary or link task on pairs as target and one as auxiliary "
            f"task, such as build.metapaths; there is no such {missing}: take selar"
        )
    popularity, users = popularity_in_train(store, targets[0])
    return HintNetworks(helped, width, popularity, users, settings)


def popularity_in_train(store: GraphStore, task: str) -> tuple[Tensor, Tensor]:
    """Positive training rows of each node as an item ``[N]``, and which nodes are users ``[N]``."""
    meta, rows = store.meta, store.rows(task, "train")
    user, item = meta.tasks[task].node_types
    popularity = torch.zeros(meta.n_nodes, dtype=torch.int64)
    counts = np.bincount(rows.entity[rows.label > 0, 1], minlength=meta.count(item))
    popularity[meta.offsets[item] :][: meta.count(item)] = torch.from_numpy(counts)
    users = torch.zeros(meta.n_nodes, dtype=torch.bool)
    users[meta.offsets[user] :][: meta.count(user)] = True
    return popularity, users
