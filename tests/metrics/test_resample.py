from dataclasses import replace

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.metrics import METRICS, Parts, metric_named, resampled_values, value
from counterpoint.metrics.drawing import Drawing

RESAMPLED = [name for name in METRICS if metric_named(name).resampled] + ["hr@3"]
PAIRS = [(name, kind) for name in RESAMPLED for kind in sorted(metric_named(name).kinds)]


def drawn_clusters(n_clusters: int, n_resamples: int, seed: int) -> np.ndarray:
    rng, drawing = np.random.default_rng(seed), Drawing(n_clusters)
    draws = np.empty((n_resamples, n_clusters), dtype=np.int64)
    for draw in draws:
        drawing.into(draw, rng)
    return draws


def materialised(parts: Parts, draw: np.ndarray) -> Parts:
    """The resample written out row by row; a cluster that is drawn twice is two clusters."""
    clusters = np.unique(parts.cluster)
    rows = [np.flatnonzero(parts.cluster == clusters[drawn]) for drawn in draw]
    cluster = np.repeat(np.arange(len(rows)), [len(of) for of in rows])
    take = np.concatenate(rows)
    return Parts(parts.kind, cluster, np.arange(len(take)), parts.label[take], parts.score[take])


@pytest.mark.parametrize(("metric", "kind"), PAIRS)
def test_counting_equals_writing_the_resample_out(make_parts, metric, kind):
    models = {f"seed {seed}": make_parts(kind, seed=seed) for seed in range(3)}
    (values,) = resampled_values([(metric, models)], n_resamples=20, rng=np.random.default_rng(4))
    n_clusters = len(np.unique(models["seed 0"].cluster))
    expected = [
        [value(metric, materialised(parts, draw)) for parts in models.values()]
        for draw in drawn_clusters(n_clusters, 20, seed=4)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("metric", ["auc", "ap", "gauc", "logloss"])
def test_the_size_of_blocks_changes_nothing(make_parts, metric):
    models = {"a": make_parts("binary", seed=1), "b": make_parts("binary", seed=2)}
    small, large = (
        resampled_values(
            [(metric, models)], n_resamples=50, rng=np.random.default_rng(0), block_bytes=size
        )[0]
        for size in (1, 1 << 20)
    )
    np.testing.assert_allclose(small, large, rtol=1e-12)


def test_tasks_share_the_draws_of_the_union_of_their_clusters(make_parts):
    parts = make_parts("binary", n=200)
    half = parts.cluster < np.median(parts.cluster)
    columns = (parts.cluster, parts.row, parts.label, parts.score)
    part = Parts("binary", *(column[half] for column in columns))
    whole, of_part = resampled_values(
        [("accuracy", {"a": parts}), ("accuracy", {"a": part})],
        n_resamples=30,
        rng=np.random.default_rng(0),
    )
    alone = resampled_values(
        [("accuracy", {"a": parts})], n_resamples=30, rng=np.random.default_rng(0)
    )[0]
    np.testing.assert_array_equal(whole, alone)
    draws = drawn_clusters(len(np.unique(parts.cluster)), 30, seed=0)
    clusters = np.unique(parts.cluster)
    correct = (part.score >= 0.5) == part.label
    for of_resample, draw in zip(of_part[:, 0], draws, strict=True):
        times = np.bincount(draw, minlength=len(clusters))[np.searchsorted(clusters, part.cluster)]
        assert of_resample == pytest.approx(np.average(correct, weights=times))


def test_the_standard_error_of_a_mean_is_recovered():
    rng = np.random.default_rng(0)
    n = 400
    parts = Parts("regression", np.arange(n), np.arange(n), rng.normal(size=n), np.zeros(n))
    (values,) = resampled_values(
        [("rmse", {"a": parts})], n_resamples=4000, rng=np.random.default_rng(1)
    )
    squared = parts.label**2
    expected = squared.std() / np.sqrt(n)
    assert (values**2).std() == pytest.approx(expected, rel=0.05)


def test_models_on_other_rows_are_refused(make_parts):
    parts = make_parts("binary")
    moved = replace(parts, row=parts.row + 1)
    with pytest.raises(UserError, match="twin: other row in 60 places than joint"):
        resampled_values(
            [("auc", {"joint": parts, "twin": moved})], n_resamples=5, rng=np.random.default_rng(0)
        )


def test_a_rare_class_makes_missing_resamples_and_too_rare_is_refused():
    def with_positives(n_positive: int) -> Parts:
        label = np.arange(100) < n_positive
        return Parts("binary", np.arange(100), np.arange(100), label, np.linspace(0, 1, 100))

    (values,) = resampled_values(
        [("auc", {"a": with_positives(6)})], n_resamples=4000, rng=np.random.default_rng(0)
    )
    missing = np.isnan(values).any(axis=1)
    assert 0 < missing.sum() < 40
    for metric in ("auc", "ap", "gauc"):
        with pytest.raises(UserError, match=f"{metric}: undefined on .* of 1000 resamples"):
            resampled_values(
                [(metric, {"a": with_positives(2)})], n_resamples=1000, rng=np.random.default_rng(0)
            )


def test_a_resample_that_one_model_leaves_undefined_is_missing_for_all():
    cluster, label = np.arange(300), np.arange(300)[:, None] < 6
    silent = Parts("multilabel", cluster, cluster, label, np.zeros((300, 1)))
    eager = replace(silent, score=np.ones((300, 1)))
    (values,) = resampled_values(
        [("micro_f1", {"silent": silent, "eager": eager})],
        n_resamples=4000,
        rng=np.random.default_rng(0),
    )
    missing = np.isnan(values)
    assert missing.any()
    np.testing.assert_array_equal(missing[:, 0], missing[:, 1])


def test_what_cannot_be_resampled_is_refused(make_parts):
    with pytest.raises(UserError, match="calibration_error: cannot be resampled"):
        resampled_values(
            [("calibration_error", {"a": make_parts("binary")})],
            n_resamples=5,
            rng=np.random.default_rng(0),
        )
    with pytest.raises(UserError, match="auc: judges binary tasks"):
        resampled_values(
            [("auc", {"a": make_parts("link")})], n_resamples=5, rng=np.random.default_rng(0)
        )
