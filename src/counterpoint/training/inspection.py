"""How trained graph layers read: by task and relation, so that tasks and twins can be compared.

For every layer, task and relation:

- ``attention``: the share of the relation in what its heads read, mean over heads of its type;
- ``even``: the same if a head paid as much to each of its edges (StrucHIS: to each relation by
  which it has one), which is near where training starts;
- ``gate_entropy``: of the experts' weights where the relation is read over the most there can be;
- ``others``: the weight of all experts but the task's own, and ``others_by_degree`` its rank
  correlation (Spearman) with the degree of the head;
- ``divergence``: Jensen-Shannon (in bits) between the mean gates of this task and of each other
  one, own expert first, mean over the others.

InLINE reads a relation on each of its edges, StrucHIS at each node that has such an edge; the
gates' numbers are means over these.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.data.schema import Task
from counterpoint.graph.views import Block, RelationEdges, View
from counterpoint.models.contract import Model
from counterpoint.nn.convolutions import GAT
from counterpoint.nn.encoders import GraphEncoder
from counterpoint.nn.inline import EdgeWeights, InlineLayer
from counterpoint.nn.relation_attention import RelationAttention
from counterpoint.nn.struchis import RelationWeights, StrucHISLayer

Row = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """How one task reads one relation.

    ``gates [n, k]`` where it is read, the own expert first, and ``degree [n]`` of the heads there;
    both are None where there are no gates. In float64: in float32 a divergence that should be 0 is
    now and then less, and open gates are tied.
    """

    attention: float
    even: float
    gates: Tensor | None
    degree: Tensor | None


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

    hooks = [layer.register_forward_hook(remember) for layer in _weighing(model, len(tasks))]
    if not hooks:
        return []
    was_training = model.training
    model.eval()
    model.encode(view)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    rows = []
    for number, (layer, block, states) in enumerate(seen):
        by_task = dict(zip(tasks, _of_layer(layer, block, states), strict=False))
        rows += [{"layer": number, **row} for row in _rows(block, by_task)]
    return rows


def _weighing(model: Model, n_tasks: int) -> list[nn.Module]:
    """The layers to look at; a convolution of an encoder that several tasks share is of none."""
    parts = list(model.modules())
    found: list[nn.Module] = [p for p in parts if isinstance(p, InlineLayer | StrucHISLayer)]
    if n_tasks == 1:
        encoders = [p for p in parts if isinstance(p, GraphEncoder)]
        convolutions = [layer for encoder in encoders for layer in encoder.layers]
        found += [p for p in convolutions if isinstance(p, GAT | RelationAttention)]
    return found


def _of_layer(layer: nn.Module, block: Block, states: Tensor) -> list[list[Reading]]:
    """For each network, those of the tasks first, a reading a relation that has edges here."""
    if isinstance(layer, InlineLayer):
        return [_of_edges(block, found) for found in layer.edge_weights(block, states)]
    if isinstance(layer, StrucHISLayer):
        return [_of_relations(block, found) for found in layer.relation_weights(block, states)]
    if isinstance(layer, RelationAttention):
        attention = layer.relation_attention(block, layer.messages(block, states))
        return [_of_relations(block, RelationWeights(None, attention))]
    assert isinstance(layer, GAT)
    return [_of_edges(block, EdgeWeights(None, layer.edge_attention(block, states)))]


def _of_edges(block: Block, found: EdgeWeights) -> list[Reading]:
    even = 1 / block.csr.indptr.diff().double()[block.csr.dst]
    readings = []
    for part in block.by_relation:
        gates = None if found.gates is None else found.gates[part.places]
        attention = found.attention[part.places].mean(1).abs()
        heads = block.csr.dst[part.places]
        readings.append(_reading(block, part, heads, attention, even[part.places], gates))
    return readings


def _of_relations(block: Block, found: RelationWeights) -> list[Reading]:
    heard = [part.csr.indptr.diff() > 0 for part in block.by_relation]
    relations = torch.zeros_like(block.csr.indptr[1:])
    for part, there in zip(block.by_relation, heard, strict=True):
        relations[part.dst[there]] += 1
    readings = []
    for place, (part, there) in enumerate(zip(block.by_relation, heard, strict=True)):
        gates = None if found.gates is None else found.gates[place][there]
        attention = found.attention[place][there]  # without mask_absent, others attend to nothing
        heads = part.dst[there]
        readings.append(
            _reading(block, part, heads, attention, 1 / relations[heads].double(), gates)
        )
    return readings


def _reading(
    block: Block,
    part: RelationEdges,
    heads: Tensor,
    attention: Tensor,
    even: Tensor,
    gates: Tensor | None,
) -> Reading:
    """Of attention ``[n]``, even attention and gates ``[n, k]`` where ``heads [n]`` read."""
    paid, evenly = (float(weights.sum() / len(part.dst)) for weights in (attention, even))
    if gates is None:
        return Reading(paid, evenly, None, None)
    return Reading(paid, evenly, gates.double(), block.degree[heads])


def _rows(block: Block, by_task: Mapping[str, Sequence[Reading]]) -> list[Row]:
    rows = []
    for place, part in enumerate(block.by_relation):
        found = {task: readings[place] for task, readings in by_task.items()}
        means = {
            task: reading.gates.mean(0).cpu().numpy()
            for task, reading in found.items()
            if reading.gates is not None
        }
        for task, reading in found.items():
            values = {"attention": reading.attention, "even": reading.even}
            if reading.gates is not None and reading.degree is not None:
                values |= _of_gates(reading.gates, reading.degree)
                values["divergence"] = _divergence(means, task)
            rows += [
                {"task": task, "relation": part.relation, "name": name, "value": value}
                for name, value in values.items()
            ]
    return rows


def _of_gates(gates: Tensor, degree: Tensor) -> dict[str, float]:
    entropy = torch.special.entr(gates).sum(1).mean()
    others = 1 - gates[:, 0]
    return {
        "gate_entropy": float(entropy) / math.log(gates.shape[1]),
        "others": float(others.mean()),
        "others_by_degree": _rank_correlation(others, degree),
    }


def _rank_correlation(x: Tensor, y: Tensor) -> float:
    from scipy.stats import spearmanr

    one, other = x.cpu().numpy(), y.cpu().numpy()
    if min(len(np.unique(one)), len(np.unique(other))) < 2:  # uniform gates, or one degree: none
        return 0.0
    return float(spearmanr(one, other).statistic)


def _divergence(means: Mapping[str, np.ndarray], task: str) -> float:
    from scipy.spatial.distance import jensenshannon

    # scipy's is the root of the divergence
    apart = [
        float(jensenshannon(means[task], mean, base=2)) ** 2
        for other, mean in means.items()
        if other != task
    ]
    return sum(apart) / max(len(apart), 1)
