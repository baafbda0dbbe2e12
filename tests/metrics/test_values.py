import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from counterpoint.errors import UserError
from counterpoint.metrics import (
    METRICS,
    Parts,
    chance,
    chance_corrected,
    default_margin,
    metric_named,
    share_kept,
    value,
)

NAMES = [*METRICS, "hr@3"]
PAIRS = [(name, kind) for name in NAMES for kind in sorted(metric_named(name).kinds)]


def user_gauc(parts: Parts) -> tuple[float, float]:
    """GAUC and the share of rows kept, one user at a time by scikit-learn."""
    weighted, rows = 0.0, 0
    for user in np.unique(parts.cluster):
        mine = parts.cluster == user
        if 0 < parts.label[mine].sum() < mine.sum():
            weighted += mine.sum() * sk.roc_auc_score(parts.label[mine], parts.score[mine])
            rows += mine.sum()
    return weighted / rows, rows / len(parts)


def test_binary_metrics_are_scikit_learns(make_parts):
    parts = make_parts("binary")
    assert value("auc", parts) == pytest.approx(sk.roc_auc_score(parts.label, parts.score))
    assert value("ap", parts) == pytest.approx(sk.average_precision_score(parts.label, parts.score))
    assert value("logloss", parts) == pytest.approx(sk.log_loss(parts.label, parts.score))
    assert value("accuracy", parts) == sk.accuracy_score(parts.label, parts.score >= 0.5)
    gauc, kept = user_gauc(parts)
    assert value("gauc", parts) == pytest.approx(gauc)
    assert share_kept(parts) == pytest.approx(kept)


def test_gauc_weighs_users_by_impressions_and_leaves_out_those_of_one_class():
    """METHODS C.7 by hand: AUC 1 on 2 rows, 0 on 3, with a tie 3/4 on 3; 4 rows do not count."""
    user = [7, 7, 2, 2, 2, 9, 9, 9, 4, 4, 5, 5]
    label = [0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    score = [0.1, 0.9, 0.1, 0.2, 0.9, 0.5, 0.5, 0.2, 0.9, 0.1, 0.9, 0.1]
    parts = Parts("binary", user, range(12), label, score)
    assert value("gauc", parts) == pytest.approx((2 * 1 + 3 * 0 + 3 * 3 / 4) / 8)
    assert value("gauc", parts) != pytest.approx((1 + 0 + 3 / 4) / 3)  # users alike
    assert share_kept(parts) == pytest.approx(8 / 12)
    shifted = (np.array(score) + np.array(user)) / 16  # a user's own level does not matter
    assert value("gauc", replace(parts, score=shifted)) == value("gauc", parts)


def test_class_metrics_are_scikit_learns(make_parts):
    parts = make_parts("multiclass")
    predicted = parts.score.argmax(axis=1)
    score = parts.score / parts.score.sum(axis=1, keepdims=True, dtype=np.float64)
    expected = sk.log_loss(parts.label, score)
    assert value("logloss", parts) == pytest.approx(expected, rel=1e-6)
    assert value("accuracy", parts) == sk.accuracy_score(parts.label, predicted)
    for average in ("micro", "macro"):
        expected = sk.f1_score(parts.label, predicted, average=average)
        assert value(f"{average}_f1", parts) == pytest.approx(expected)


def test_multilabel_metrics_are_scikit_learns(make_parts):
    parts = make_parts("multilabel")
    for average in ("micro", "macro"):
        expected = sk.f1_score(parts.label, parts.score >= 0.5, average=average)
        assert value(f"{average}_f1", parts) == pytest.approx(expected)
    some = parts.label.any(axis=1)
    for scored in (parts, replace(parts, score=np.round(parts.score, 1))):
        expected = sk.ndcg_score(parts.label[some], scored.score[some])
        assert value("ndcg", scored) == pytest.approx(expected)


def test_rmse_is_scikit_learns(make_parts):
    parts = make_parts("regression")
    expected = sk.root_mean_squared_error(parts.label, parts.score)
    assert value("rmse", parts) == pytest.approx(expected)


def test_link_metrics_by_hand():
    parts = Parts.of_ranks(
        cluster=np.array([1, 1, 2]),
        row=np.arange(3),
        rank=np.array([1, 2, 4]),
        n_candidates=np.array([10, 10, 10]),
    )
    assert value("mrr", parts) == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert value("hr@3", parts) == pytest.approx(2 / 3)
    assert value("ndcg", parts) == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(5)) / 3)
    assert value("ndcg_paper", parts) == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert value("gauc", parts) == pytest.approx((9 / 9 + 8 / 9 + 6 / 9) / 3)
    assert chance("gauc", parts) == 0.5


def test_gauc_of_links_is_that_of_their_candidates_as_rows():
    scores = np.round(np.random.default_rng(0).random((30, 12)), 1)  # with ties
    above = (scores[:, 1:] > scores[:, :1]).sum(1) + (scores[:, 1:] == scores[:, :1]).sum(1) / 2
    of_links = Parts.of_ranks(
        cluster=np.arange(30), row=np.arange(30), rank=1 + above, n_candidates=np.full(30, 12)
    )
    label = np.tile(np.arange(12) == 0, (30, 1)).ravel()
    as_rows = Parts("binary", np.repeat(np.arange(30), 12), np.arange(360), label, scores.ravel())
    assert value("gauc", of_links) == pytest.approx(value("gauc", as_rows))
    lonely = replace(of_links, label=np.ones(30), score=np.ones(30))
    with pytest.raises(UserError, match="gauc: no"):
        value("gauc", lonely)


def test_calibration_error_of_one_bin():
    parts = Parts("binary", np.arange(4), np.arange(4), np.array([1, 0, 0, 0]), np.full(4, 0.75))
    assert value("calibration_error", parts) == pytest.approx(0.5)
    classes = Parts("multiclass", np.arange(2), np.arange(2), [0, 1], [[0.9, 0.1], [0.9, 0.1]])
    assert value("calibration_error", classes) == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize(("metric", "kind"), PAIRS)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_is_of_no_account(make_parts, metric, kind, seed):
    parts = make_parts(kind)
    order = np.random.default_rng(seed).permutation(len(parts))
    columns = (parts.cluster, parts.row, parts.label, parts.score)
    shuffled = Parts(kind, *(column[order] for column in columns))
    assert value(metric, shuffled) == pytest.approx(value(metric, parts), abs=1e-12, rel=1e-6)


@pytest.mark.parametrize(("metric", "kind"), PAIRS)
def test_a_perfect_model_reaches_best(make_parts, metric, kind):
    parts = make_parts(kind)
    if kind == "link":
        perfect = np.ones(len(parts))
    elif kind == "multiclass":
        perfect = np.eye(4)[parts.label]
    else:
        perfect = parts.label
    best = value(metric, replace(parts, score=perfect))
    assert best == pytest.approx(metric_named(metric).best, abs=1e-6)


def test_chance_of_label_frequencies(make_parts):
    binary, classes = make_parts("binary"), make_parts("multiclass")
    rate = binary.label.mean()
    assert chance("auc", binary) == 0.5
    assert chance("gauc", binary) == 0.5
    assert chance("ap", binary) == pytest.approx(rate)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert chance("logloss", binary) == pytest.approx(entropy)
    shares = np.bincount(classes.label) / len(classes)
    assert chance("micro_f1", classes) == pytest.approx(shares.max())
    assert chance("macro_f1", classes) == pytest.approx(2 * shares.max() / (1 + shares.max()) / 4)
    regression = make_parts("regression")
    assert chance("rmse", regression) == pytest.approx(np.std(regression.label), rel=1e-6)


def test_chance_of_a_random_order():
    n = np.array([4, 2])
    parts = Parts.of_ranks(cluster=np.arange(2), row=np.arange(2), rank=np.ones(2), n_candidates=n)
    assert chance("hr@2", parts) == pytest.approx((2 / 4 + 1) / 2)
    harmonic = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert chance("mrr", parts) == pytest.approx((harmonic + 3 / 4) / 2)


def test_chance_corrected_runs_from_chance_to_best(make_parts):
    parts = make_parts("binary")
    assert chance_corrected("auc", parts) == pytest.approx((value("auc", parts) - 0.5) / 0.5)
    perfect = replace(parts, score=parts.label)
    for metric in ("auc", "ap", "logloss", "accuracy"):
        assert chance_corrected(metric, perfect) == pytest.approx(1, abs=1e-6)
    for metric in ("auc", "logloss", "accuracy"):
        assert chance_corrected(metric, replace(parts, score=1.0 - parts.label)) < 0
    one_class = replace(parts, label=np.zeros(60))
    with pytest.raises(UserError, match="accuracy: chance is already perfect"):
        chance_corrected("accuracy", one_class)


def test_default_margins(make_parts):
    binary, other = make_parts("binary"), make_parts("binary", seed=5)
    assert default_margin("auc", []) == 0.002
    assert default_margin("gauc", [binary]) == 0.002
    assert default_margin("accuracy", [binary]) == 0.01
    mean_ap = (value("ap", binary) + value("ap", other)) / 2
    assert default_margin("ap", [binary, other]) == pytest.approx(0.05 * mean_ap)
    assert default_margin("logloss", [binary]) == pytest.approx(0.01 * chance("logloss", binary))
    link = make_parts("link")
    assert default_margin("hr@10", [link]) == pytest.approx(0.05 * value("hr@10", link))
    regression = make_parts("regression")
    assert default_margin("rmse", [regression]) == pytest.approx(0.01 * value("rmse", regression))
    with pytest.raises(UserError, match="calibration_error: has no default margin"):
        default_margin("calibration_error", [binary])
    with pytest.raises(UserError, match="ap: its default margin needs"):
        default_margin("ap", [])


def test_undefined_values_are_errors(make_parts):
    binary = make_parts("binary")
    ones, zeros = (replace(binary, label=np.full(60, of)) for of in (1, 0))
    own_user = replace(binary, cluster=np.arange(60))
    for metric, parts, message in [
        ("auc", ones, r"auc: one class only \(60 of 60"),
        ("auc", zeros, "auc: none of the 60 rows is positive"),
        ("ap", zeros, "ap: none of the 60 rows is positive"),
        ("gauc", own_user, "gauc: no user with both classes, or no other candidate, in 60 rows"),
        ("logloss", make_parts("binary", n=0), "logloss: no rows"),
        ("auc", make_parts("binary", n=0), "auc: no rows"),
        ("rmse", binary, "rmse: judges regression tasks, this one is binary"),
        ("hr@0", binary, "metric: 'hr@0' is none of auc, .*hr@k"),
        ("f2", binary, "metric: 'f2' is none of auc"),
    ]:
        with pytest.raises(UserError, match=message):
            value(metric, parts)
    empty = replace(make_parts("multilabel"), label=np.zeros((60, 5)), score=np.zeros((60, 5)))
    for metric in ("micro_f1", "macro_f1", "mrr", "ndcg"):
        with pytest.raises(UserError, match=f"{metric}: no "):
            value(metric, empty)
    with pytest.raises(UserError, match="mrr: no rows"):
        chance("mrr", make_parts("link", n=0))


def test_a_confident_mistake_costs_a_finite_log_loss():
    parts = Parts("binary", [0], [0], [1], [0.0])
    assert value("logloss", parts) == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_import_needs_numpy_alone():
    code = (
        "import sys, counterpoint.metrics;"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'polars', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
