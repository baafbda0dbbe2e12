from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from counterpoint.errors import UserError
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.scores import score

from .conftest import examples, heads, make_bundle, sigmoid


def test_every_kind_of_task_in_one_frame(bundle):
    frame = pd.DataFrame(examples(heads()), index=[5, 3, 9, 1, 7, 2])
    scores = score(read_bundle(bundle), frame.drop(columns="score"))
    assert scores.index.tolist() == frame.index.tolist()
    assert scores.columns.tolist() == ["probability", "value"]
    for row, example in zip(frame.index, examples(heads()), strict=True):
        column = "value" if example["task"] == "spend" else "probability"
        assert scores.loc[row, column] == pytest.approx(example["score"], rel=1e-5)
    assert scores["value"].notna().sum() == 1


def test_one_task_gives_one_column_of_numbers(bundle):
    frame = pd.DataFrame({"task": "click", "src": ["u1", "u3"], "dst": [40, 10], "more": 1})
    scores = score(read_bundle(bundle), frame)
    head = heads()["click"]
    logits = [
        head.src[i] @ head.dst[j] + head.src_bias[i] + head.dst_bias[j] + head.bias
        for i, j in [(0, 3), (2, 0)]
    ]
    assert scores.dtypes.to_dict() == {"probability": np.dtype("float64")}
    np.testing.assert_allclose(scores["probability"], sigmoid(np.asarray(logits)), rtol=1e-5)


def test_a_condition_multiplies(tmp_path):
    given = replace(heads()["click"], condition="click", bias=np.asarray(0.5))
    more = [*examples(heads()), {"task": "order", "src": "u2", "dst": 30, "score": 0.1}]
    folder = make_bundle(tmp_path / "bundle", heads={**heads(), "order": given}, examples=more)
    frame = pd.DataFrame({"task": ["click", "order"], "src": "u2", "dst": 30})
    click, order = score(read_bundle(folder), frame)["probability"]
    own = sigmoid(np.log(click / (1 - click)) + 0.25)  # the same logit with another bias
    assert order == pytest.approx(click * own, rel=1e-5)


@pytest.mark.parametrize(("shift", "probability"), [(1e4, 1), (-1e4, 0)])
def test_a_huge_logit_does_not_overflow(tmp_path, shift, probability):
    shifted = make_bundle(tmp_path / "bundle", heads=heads(shift))
    frame = pd.DataFrame({"task": ["churn", "topic"], "id": ["u1", 10]})
    scores = score(read_bundle(shifted), frame)["probability"]
    assert scores[0] == probability
    assert sum(scores[1]) == pytest.approx(1)


def test_an_empty_frame_gives_an_empty_frame(bundle):
    frame = pd.DataFrame({"task": [], "src": [], "dst": []})
    assert score(read_bundle(bundle), frame).columns.tolist() == ["probability"]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"id": ["u1"]}, "column task: missing; name the task of each row"),
        ({"task": ["click"], "src": ["u1"]}, "column dst: missing; task 'click' needs the id"),
        ({"task": ["churn"], "src": ["u1"]}, "column id: missing; task 'churn' needs the id"),
        ({"task": ["like", "like"]}, "column task: 'like' in 2 rows is no task of this model"),
        (
            {"task": ["click"] * 3, "src": ["u1", "new", "newer"], "dst": [10, 10, 10]},
            "column src: 2 of 3 ids of task 'click' are no user that the model knows, first 'new'",
        ),
        (
            {"task": ["topic", "topic"], "id": [10, None]},
            "column id: 1 of 2 ids of task 'topic' are no item that the model knows, first nan",
        ),
    ],
)
def test_bad_input_is_one_clear_line(bundle, columns, line):
    with pytest.raises(UserError) as raised:
        score(read_bundle(bundle), pd.DataFrame(columns))
    assert str(raised.value).startswith(line)
    assert len(raised.value.faults) == 1
