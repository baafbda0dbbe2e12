import numpy as np
import pytest
from scipy import stats

from counterpoint.evaluation.difference import difference_over_seeds
from counterpoint.evaluation.estimate import task_scores
from counterpoint.evaluation.evidence import GateSettings, TaskEvidence
from counterpoint.evaluation.sensitivity import delong_standard_error, sensitivity, sign_flip_p
from counterpoint.metrics import Parts, resampled_values


def auc_sides(n: int, n_seeds: int = 3, decimals: int = 1) -> list[dict[int, Parts]]:
    rng = np.random.default_rng(0)
    label = np.arange(n) < n // 3
    shared = label + rng.normal(size=n)
    return [
        {
            seed: Parts(
                "binary",
                np.arange(n),
                np.arange(n),
                label,
                np.round(1 / (1 + np.exp(-shared - noise * rng.normal(size=n))), decimals),
            )
            for seed in range(n_seeds)
        }
        for noise in (0.5, 0.8)
    ]


def test_the_paired_t_test_is_scipys(make_task):
    (scores,) = task_scores([make_task(delta=0.004)], GateSettings())
    found = sensitivity(scores, 0.05)
    expected = stats.ttest_rel(scores.joint, scores.twin)
    assert found.paired_t_p == pytest.approx(expected.pvalue)
    assert found.paired_t_lower == pytest.approx(expected.confidence_interval(0.9).low)
    assert found.delong_p is None


def test_sign_flips_are_exact():
    differences = np.random.default_rng(0).normal(0.5, 1, size=8)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)
    assert sign_flip_p(np.ones(10)) == 2 / 2**10
    assert sign_flip_p(np.zeros(5)) == 1


def test_delong_is_the_variance_of_placement_values():
    joint, twin = auc_sides(60)
    positive, negative = np.flatnonzero(joint[0].label), np.flatnonzero(1 - joint[0].label)
    wins = np.zeros((len(positive), len(negative)))
    for side, sign in ((joint, 1), (twin, -1)):
        for parts in side.values():
            gap = parts.score[positive][:, None] - parts.score[negative]
            wins += sign * (np.sign(gap) + 1) / 2 / 3
    variance = np.var(wins.mean(axis=1), ddof=1) / len(positive)
    variance += np.var(wins.mean(axis=0), ddof=1) / len(negative)
    found = delong_standard_error(list(joint.values()), list(twin.values()))
    assert found == pytest.approx(np.sqrt(variance))


def test_delong_agrees_with_the_bootstrap_of_independent_rows():
    joint, twin = auc_sides(600, decimals=6)
    models = {f"joint {s}": p for s, p in joint.items()} | {f"twin {s}": p for s, p in twin.items()}
    (values,) = resampled_values([("auc", models)], n_resamples=2000, rng=np.random.default_rng(0))
    bootstrap = np.std(values[:, :3].mean(axis=1) - values[:, 3:].mean(axis=1))
    found = delong_standard_error(list(joint.values()), list(twin.values()))
    assert found == pytest.approx(bootstrap, rel=0.1)


def test_leaving_a_seed_out_is_the_gate_without_it():
    task = TaskEvidence("click", "auc", 0.01, "user", *reversed(auc_sides(200)))
    (scores,) = task_scores([task], GateSettings())
    found = sensitivity(scores, 0.05)
    without = difference_over_seeds(
        scores.per_seed[[0, 2]], scores.resampled[:, [0, 2]].mean(axis=1), 200
    )
    assert found.leave_one_seed_out[1] == pytest.approx(without.lower(0.05))
    assert found.delong_p == pytest.approx(
        2 * stats.norm.sf(abs(scores.per_seed.mean()) / found.delong_standard_error)
    )


def test_what_does_not_apply_is_none(make_task):
    many = make_task(n_seeds=21, n_clusters=5)
    assert sensitivity(task_scores([many], GateSettings())[0], 0.05).sign_flip_p is None
    two = make_task(n_seeds=2, n_clusters=5)
    assert sensitivity(task_scores([two], GateSettings())[0], 0.05).leave_one_seed_out is None
