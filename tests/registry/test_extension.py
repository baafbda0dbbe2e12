from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from counterpoint.errors import UserError
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.extension import extended
from counterpoint.registry.scores import entity_rows, task_scores

from .conftest import ITEMS, USERS, heads

IDS = {"user": np.asarray(["u9", "u2", "u7"], dtype=object), "item": np.asarray([5, 40, 10, 7])}
PAIRS = pd.DataFrame({"src": ["u1", "u9", "u7", "u2"], "dst": [30, 40, 5, 7]})


def test_new_nodes_have_their_own_heads_and_old_ones_keep_theirs(bundle):
    before, todays = read_bundle(bundle), heads(shift=1.0)["click"]
    after = extended(before, {"click": todays}, IDS)
    for name in ("src", "src_bias", "dst", "dst_bias"):
        known = before.tensors[f"click.{name}"]
        np.testing.assert_array_equal(after.tensors[f"click.{name}"][: len(known)], known)
    old = heads()["click"]
    ends = {"src": ((old, 0), (todays, 0), (todays, 2), (old, 1))}
    ends["dst"] = ((old, 2), (old, 3), (todays, 0), (todays, 3))  # 40 is known already
    for row, ((a, i), (b, j)) in enumerate(zip(ends["src"], ends["dst"], strict=True)):
        logit = a.src[i] @ b.dst[j] + a.src_bias[i] + b.dst_bias[j] + 0.25
        found = task_scores(after, "click", PAIRS)[row]
        assert found == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-6)
    known = pd.DataFrame({"src": USERS * 4, "dst": np.repeat(ITEMS, 3)})
    np.testing.assert_array_equal(
        task_scores(before, "click", known), task_scores(after, "click", known)
    )
    assert [len(before.ids[name].ids) for name in IDS] == [3, 4]


def test_logits_of_classes(bundle):
    before, todays = read_bundle(bundle), heads(shift=1.0)["topic"]
    after = extended(
        before, {"topic": replace(todays, logits=-todays.logits)}, {"item": IDS["item"]}
    )
    assert entity_rows(after, "topic", pd.DataFrame({"id": [5, 40, 7, 8]}))[0].tolist() == [
        4,
        3,
        5,
        -1,
    ]
    logits = -todays.logits[3]
    expected = np.exp(logits) / np.exp(logits).sum()
    found = task_scores(after, "topic", pd.DataFrame({"id": [7]}))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_ids_of_another_kind_and_heads_that_are_not_finite_are_refused(bundle):
    before, todays = read_bundle(bundle), heads()["click"]
    numbers = {**IDS, "user": np.asarray([1, 2, 3])}
    line = "node type 'user': its ids are integers and were strings when the model was trained"
    with pytest.raises(UserError, match=line):
        extended(before, {"click": todays}, numbers)
    vectors = todays.dst.copy()
    vectors[1] = np.nan  # of 40, which the bundle knows
    assert extended(before, {"click": replace(todays, dst=vectors)}, IDS)
    vectors[3] = np.inf
    with pytest.raises(UserError, match="'click': of new nodes dst holds values that are not fin"):
        extended(before, {"click": replace(todays, dst=vectors)}, IDS)
