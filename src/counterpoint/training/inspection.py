"""How trained graph layers read: by task and relation, so that tasks and twins can be compared.

For every layer, task and relation:

- ``attention``: the share of the relation in what its heads read, mean over heads of its type;
- ``gate_entropy``: of the experts' weights on its edges over the most there can be, mean;
- ``others``: the weight of all experts but the task's own, mean, and ``others_by_degree`` its rank
  correlation (Spearman) with the degree of the edge's head;
- ``divergence``: Jensen-Shannon (in bits) between the mean gates of this task and of each other
  one, own expert first, mean over the others.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.data.schema import Task
from counterpoint.graph.views import Block, RelationEdges, View
from counterpoint.models.contract import Model
from counterpoint.nn.convolutions import GAT
from counterpoint.nn.inline import EdgeWeights, InlineLayer

Row = dict[str, Any]


@torch.no_grad()
def layer_readings(model: Model, view: View, tasks: Mapping[str, Task]) -> list[Row]:
    """Rows of layer, task, relation, name and value; none where no layer weighs edges.

    Args:
        model: a joint model, or a twin of the one task in ``tasks``.
        view: on which the layers are looked at; all nodes, for the numbers to be of the graph.
        tasks: the model's, in its order.
    """
    seen: list[tuple[nn.Module, Block, Tensor]] = []

    def remember(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen.append((layer, *inputs))

    layers = [part for part in model.modules() if isinstance(part, InlineLayer | GAT)]
    if not any(isinstance(layer, InlineLayer) or len(tasks) == 1 for layer in layers):
        return []
    hooks = [layer.register_forward_hook(remember) for layer in layers]
    was_training = model.training
    model.eval()
    model.encode(view)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    rows = []
    for number, (layer, block, states) in enumerate(seen):
        rows += [{"layer": number, **row} for row in _of_layer(layer, block, states, list(tasks))]
    return rows


def _of_layer(layer: nn.Module, block: Block, states: Tensor, tasks: list[str]) -> list[Row]:
    if isinstance(layer, InlineLayer):
        weights = layer.edge_weights(block, states)[: len(tasks)]
    elif isinstance(layer, GAT) and len(tasks) == 1:
        weights = [EdgeWeights(None, layer.edge_attention(block, states))]
    else:  # a layer of several tasks, or of one network of several
        return []
    rows = []
    for part in block.by_relation:
        for task, found in zip(tasks, weights, strict=True):
            values = {"attention": _attention(part, found.attention)}
            if found.gates is not None:
                values |= _of_gates(block, part, found.gates[part.places])
                values["divergence"] = _divergence(found, weights, part)
            rows += [
                {"task": task, "relation": part.relation, "name": name, "value": value}
                for name, value in values.items()
            ]
    return rows


def _attention(part: RelationEdges, attention: Tensor) -> float:
    mass = attention[part.places].mean(1).abs().sum()
    return float(mass / max(len(part.dst), 1))


def _of_gates(block: Block, part: RelationEdges, gates: Tensor) -> dict[str, float]:
    most = torch.log(torch.tensor(float(gates.shape[1])))
    entropy = torch.special.entr(gates).sum(1).mean()
    others = 1 - gates[:, 0]
    degree = block.degree[block.csr.dst[part.places]]
    return {
        "gate_entropy": float(entropy / most),
        "others": float(others.mean()),
        "others_by_degree": _rank_correlation(others, degree),
    }


def _rank_correlation(x: Tensor, y: Tensor) -> float:
    from scipy.stats import spearmanr

    one, other = x.cpu().numpy(), y.cpu().numpy()
    if min(len(np.unique(one)), len(np.unique(other))) < 2:  # uniform gates, or one degree: none
        return 0.0
    return float(spearmanr(one, other).statistic)


def _divergence(one: EdgeWeights, weights: list[EdgeWeights], part: RelationEdges) -> float:
    from scipy.spatial.distance import jensenshannon

    means = {
        # in float32 the root of what should be 0 is now and then that of less
        id(found): found.gates[part.places].mean(0).double().cpu().numpy()
        for found in weights
        if found.gates is not None
    }
    own = means.pop(id(one))
    # scipy's is the root of the divergence
    apart = [float(jensenshannon(own, other, base=2)) ** 2 for other in means.values()]
    return sum(apart) / max(len(apart), 1)
