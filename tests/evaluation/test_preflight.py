import numpy as np
import pytest

from counterpoint.evaluation.estimate import task_scores
from counterpoint.evaluation.evidence import GateSettings, TaskEvidence, TwinEvidence
from counterpoint.evaluation.preflight import preflight
from counterpoint.metrics import Parts


def independent_models(n_models: int, rng: np.random.Generator, n: int = 150) -> list[Parts]:
    """Equally good models that err on different clusters."""
    rows, base = np.arange(n), 2 + rng.random(n)
    return [
        Parts("binary", rows, rows, np.ones(n), np.exp(-base - 0.05 * rng.normal() - of_cluster))
        for of_cluster in 0.3 * rng.normal(size=(n_models, n))
    ]


def twin_evidence(models: list[Parts], margin: float = 0.1) -> TwinEvidence:
    return TwinEvidence("buy", "logloss", margin, "user", dict(enumerate(models)))


def test_variances_are_those_of_one_seed_against_another():
    models = independent_models(12, np.random.default_rng(0))
    (found,) = preflight([twin_evidence(models)], GateSettings(), n_seeds=8)
    losses = np.array([-np.log(model.score) for model in models])
    pairs = [(i, j) for i in range(12) for j in range(i)]
    seed_variance = np.mean([(losses[i].mean() - losses[j].mean()) ** 2 for i, j in pairs])
    test_variance = np.mean([np.var(losses[i] - losses[j]) / 150 for i, j in pairs])
    assert found.difference.seed_variance == pytest.approx(seed_variance, rel=1e-4)
    assert found.difference.test_variance == pytest.approx(test_variance, rel=0.1)
    assert (found.n_seeds, found.n_clusters) == (8, 150)


def test_more_seeds_decide_smaller_margins_and_the_last_look_is_the_plan():
    evidence = twin_evidence(independent_models(6, np.random.default_rng(0)))
    few, many = (preflight([evidence], GateSettings(), n_seeds=n)[0] for n in (6, 20))
    assert many.smallest_margin < few.smallest_margin
    planned = preflight([evidence], GateSettings(looks=(6, 20)))[0]
    assert planned.n_seeds == 20
    assert planned.smallest_margin > many.smallest_margin


def test_whether_the_margin_can_be_decided_is_said():
    models = independent_models(6, np.random.default_rng(0))
    (found,) = preflight([twin_evidence(models)], GateSettings())
    for margin, decidable, words in (
        (found.smallest_margin * 1.01, True, "enough for"),
        (found.smallest_margin * 0.99, False, "too coarse for"),
    ):
        (again,) = preflight([twin_evidence(models, margin)], GateSettings())
        assert again.decidable is decidable
        assert words in again.reason


def test_an_equal_joint_model_passes_at_the_smallest_margin_at_least_as_often_as_said():
    passed = []
    for repetition in range(40):
        models = independent_models(16, np.random.default_rng(repetition))
        twin, joint = models[:8], models[8:]
        evidence = twin_evidence(twin)
        (found,) = preflight([evidence], GateSettings(), n_seeds=8)
        task = TaskEvidence("buy", "logloss", 1.0, "user", evidence.twin, dict(enumerate(joint)))
        (scores,) = task_scores([task], GateSettings())
        passed.append(scores.difference().lower(0.05) > -found.smallest_margin)
    assert np.mean(passed) >= 0.8
