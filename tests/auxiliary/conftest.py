"""Graphs of a few nodes, written edge by edge."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from counterpoint.files import write_tensors
from counterpoint.graph.ops import Csr
from counterpoint.graph.store import GraphMeta, GraphStore, RelationMeta
from counterpoint.graph.views import TrainingGraph


@pytest.fixture
def small_graph(tmp_path) -> Callable[..., TrainingGraph]:
    """Make a graph of node types and, by relation, its ends and pairs ``(src, dst)`` in place."""

    def make(types, relations, features=None, order=None):
        offsets = np.cumsum([0] + [t.count for t in types])
        starts = {t.name: int(start) for t, start in zip(types, offsets[:-1], strict=True)}
        metas, rows = [], []
        for name, (a, b, pairs) in relations.items():
            for reverse in (False, True):
                ends = (b, a) if reverse else (a, b)
                label = f"rev-{name}" if reverse else name
                metas.append(
                    RelationMeta(
                        name=label, src=ends[0], dst=ends[1], edges=len(pairs), reverse=reverse
                    )
                )
                for pair in pairs:
                    src, dst = pair[::-1] if reverse else pair
                    rows.append((starts[ends[1]] + dst, starts[ends[0]] + src, len(metas) - 1))
        rows = [rows[place] for place in order] if order is not None else rows
        flat = np.array(rows, dtype=np.int64)
        flat = flat[np.lexsort((flat[:, 1], flat[:, 0]))]
        degree = np.bincount(flat[:, 0], minlength=offsets[-1])
        edges = {
            "indptr": np.concatenate([[0], np.cumsum(degree)]),
            "indices": flat[:, 1],
            "etype": flat[:, 2].astype(np.int16),
        }
        write_tensors(tmp_path / "train" / "edges.safetensors", edges)
        write_tensors(tmp_path / "train" / "features.safetensors", features or {})
        meta = GraphMeta(
            name="small",
            node_types=tuple(types),
            relations=tuple(metas),
            tasks={},
            cross_task="drop",
            candidates="all",
        )
        return TrainingGraph(GraphStore(tmp_path, meta, "none"))

    (tmp_path / "train").mkdir()
    return make


@pytest.fixture(scope="session")
def other_features() -> Callable[[TrainingGraph, torch.Tensor], TrainingGraph]:
    """The same graph with other features at some flat node numbers."""

    def change(graph, nodes):
        changed = copy.copy(graph)
        changed.inputs = {}
        for meta in graph.meta.node_types:
            inputs, low = graph.inputs[meta.name], graph.meta.offsets[meta.name]
            at = torch.isin(torch.arange(meta.count) + low, nodes)
            dense, codes, bags = inputs.dense, inputs.codes, dict(inputs.bags)
            if dense is not None:
                dense = torch.where(at[:, None], dense.flip(0) * 3 + 1, dense)
            if codes is not None:
                sizes = torch.tensor(meta.vocabularies)
                codes = torch.where(at[:, None], codes % (sizes - 1) + 1, codes)
            for name, bag in bags.items():
                moved = torch.where(at[bag.dst], (bag.indices + 1) % bag.n_src, bag.indices)
                bags[name] = Csr(bag.indptr, moved, bag.n_src)
            changed.inputs[meta.name] = replace(inputs, dense=dense, codes=codes, bags=bags)
        return changed

    return change
