import shutil

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.graph.store import open_store


def test_numbers_of_nodes(market_graph):
    meta = market_graph.meta
    assert meta.offsets == {"user": 0, "item": 41, "shop": 72}
    assert meta.n_nodes == 77
    assert meta.count("shop") == 5
    assert [t.has_features for t in meta.node_types] == [True, True, False]


def test_rows_are_places_within_the_types_and_labels(market_graph):
    store = market_graph.store
    for name, task in market_graph.meta.tasks.items():
        for split in ("train", "valid", "test"):
            rows = store.rows(name, split)
            assert len(rows) == len(rows.label) > 0
            columns = rows.entity.reshape(len(rows), -1).T
            for node_type, column in zip(task.node_types, columns, strict=True):
                assert column.min() >= 0
                assert column.max() < market_graph.meta.count(node_type)
    assert store.rows("tags", "train").label.shape == (18, 4)
    assert set(np.unique(store.rows("topic", "train").label)) == {0, 1, 2}


def test_arrays_are_read_once(market_graph):
    store = open_store(market_graph.store.path)
    assert store.edges is store.edges
    assert store.rows("buy", "valid").label is store.rows("buy", "valid").label


def test_a_changed_byte_is_found(market_graph, tmp_path):
    copy = tmp_path / "graph"
    shutil.copytree(market_graph.store.path, copy)
    assert open_store(copy).digest == market_graph.store.digest
    edges = copy / "train" / "edges.safetensors"
    content = bytearray(edges.read_bytes())
    content[-1] ^= 1
    edges.write_bytes(content)
    with pytest.raises(UserError, match=r"edges\.safetensors"):
        open_store(copy)


def test_no_store(tmp_path):
    with pytest.raises(UserError, match="no graph store; run the stage build_graph first"):
        open_store(tmp_path)
