from dataclasses import replace

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.evaluation.estimate import mean_relative_difference, task_scores
from counterpoint.evaluation.evidence import GateSettings
from counterpoint.metrics import Parts, chance, value

SETTINGS = GateSettings(n_resamples=4000)


def test_the_planted_difference_and_both_variances_are_found(make_task):
    (scores,) = task_scores([make_task(delta=0.03, noise=0.01)], SETTINGS)
    difference = scores.difference()
    assert difference.delta == pytest.approx(0.03, abs=1e-6)
    assert difference.seed_variance / 10 == pytest.approx(0.5e-4, rel=1e-3)
    assert difference.test_variance == pytest.approx(0.5e-4, rel=0.1)
    assert difference.standard_error == pytest.approx(0.01, rel=0.05)


def test_values_are_paired_by_seed_whatever_the_order(make_task):
    task = make_task()
    shuffled = replace(
        task, joint={seed: task.joint[seed] for seed in (9, 3, 0, 1, 2, 4, 5, 6, 7, 8)}
    )
    one, other = (task_scores([of], SETTINGS)[0] for of in (task, shuffled))
    np.testing.assert_array_equal(one.per_seed, other.per_seed)
    expected = [
        value("logloss", task.twin[seed]) - value("logloss", task.joint[seed]) for seed in range(10)
    ]
    np.testing.assert_allclose(one.per_seed, expected)


def test_permuting_the_rows_changes_nothing(make_task):
    task = make_task(delta=0.01)
    order = np.random.default_rng(0).permutation(len(task.twin[0]))

    def permuted(side):
        return {
            seed: Parts(p.kind, p.cluster[order], p.row[order], p.label[order], p.score[order])
            for seed, p in side.items()
        }

    moved = replace(task, twin=permuted(task.twin), joint=permuted(task.joint))
    one, other = (task_scores([of], SETTINGS)[0].difference() for of in (task, moved))
    assert one.model_dump() == pytest.approx(other.model_dump(), rel=1e-6)


def test_unpaired_rows_are_refused_by_name(make_task):
    task = make_task("click")
    other = make_task("click", n_clusters=199)
    with pytest.raises(
        UserError, match="click: twin, seed 0: 398 rows, not 400, other than click:"
    ):
        task_scores([replace(task, twin=other.twin)], SETTINGS)


def test_mean_over_tasks_is_relative_to_what_the_twin_is_above_chance():
    def auc_parts(*scores):
        n = 40
        label = np.arange(n) < 20
        return {
            seed: Parts("binary", np.arange(n), np.arange(n), label, np.clip(of, 0, 1))
            for seed, of in enumerate(scores)
        }

    from counterpoint.evaluation.evidence import TaskEvidence

    rng = np.random.default_rng(0)
    twin, joint = (
        auc_parts(*(0.3 * (np.arange(40) < 20) + 0.7 * rng.random((3, 40)))) for _ in "ab"
    )
    task = TaskEvidence("click", "auc", 0.01, "user", twin, joint)
    regression = {
        seed: Parts("regression", np.arange(40), np.arange(40), np.linspace(0, 4, 40), of)
        for seed, of in enumerate(np.linspace(0, 4, 40) + rng.normal(size=(3, 40)) / 2)
    }
    rating = TaskEvidence(
        "rating",
        "rmse",
        0.01,
        "user",
        regression,
        dict(zip(range(3), reversed(regression.values()), strict=True)),
    )
    scores = task_scores([task, rating], SETTINGS)
    mean = mean_relative_difference(scores)
    aucs = [np.mean([value("auc", parts) for parts in side.values()]) for side in (joint, twin)]
    click = (aucs[0] - 0.5) / (aucs[1] - 0.5) - 1
    assert mean.delta == pytest.approx(100 * click / 2)
    level = chance("rmse", regression[0])
    rmse = np.mean([value("rmse", parts) for parts in regression.values()])
    per_seed = [
        (value("rmse", rating.twin[seed]) - value("rmse", rating.joint[seed])) / (level - rmse)
        + (value("auc", joint[seed]) - value("auc", twin[seed])) / (aucs[1] - 0.5)
        for seed in range(3)
    ]
    assert mean.seed_variance == pytest.approx(np.var(50 * np.array(per_seed), ddof=1))
    resampled = scores[0].resampled.mean(axis=1) / (aucs[1] - 0.5) + scores[1].resampled.mean(
        axis=1
    ) / (level - rmse)
    assert mean.test_variance == pytest.approx(np.var(50 * resampled, ddof=1))


def test_nothing_is_relative_to_a_twin_at_chance(make_task):
    task = make_task()
    flat = {
        seed: replace(parts, score=np.full(len(parts), 0.5)) for seed, parts in task.twin.items()
    }
    assert mean_relative_difference(task_scores([replace(task, twin=flat)], SETTINGS)) is None
