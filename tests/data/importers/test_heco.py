from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from counterpoint.data.importers.heco import BagNodes, split_counts, split_labels
from counterpoint.errors import UserError

MEMBERS = {"train": np.array([3, 0]), "valid": np.array([1]), "test": np.array([], dtype=int)}


def test_every_node_has_its_split_or_none():
    rows = split_labels(Path("masks"), "paper", [5, 6, 7, 8], MEMBERS)
    assert rows.rows() == [(0, 5, "train"), (1, 6, "valid"), (2, 7, None), (3, 8, "train")]
    counts = split_counts(rows, "papers", {"train": 2, "test": 1}, dict.fromkeys(MEMBERS, "masks"))
    assert [(count.what, count.found, count.published) for count in counts] == [
        ("papers in train", 2, 2),
        ("papers in test", 0, 1),
    ]


def test_a_node_in_two_splits_is_refused():
    with pytest.raises(UserError, match="masks: paper 3 is in two splits"):
        split_labels(Path("masks"), "paper", [5, 6, 7, 8], {**MEMBERS, "test": np.array([3])})


def test_bag_nodes():
    nodes = BagNodes("words", sparse.csr_matrix(np.eye(2, 6)))
    assert nodes.table.to_dict(as_series=False) == {"id": [0, 1], "words": [[0], [1]]}
    (feature,) = nodes.node_type.features
    assert (feature.name, feature.size) == ("words", 6)
