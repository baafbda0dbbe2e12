from dataclasses import replace

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.evaluation.artefact import ChampionEvidence, against_champion, shipping
from counterpoint.evaluation.estimate import task_scores
from counterpoint.evaluation.evidence import GateSettings


def champion_evidence(make_task, delta: float, **changes) -> ChampionEvidence:
    task = make_task(delta=delta, n_seeds=2)
    fields = {
        "name": "buy",
        "metric": "logloss",
        "margin": 0.02,
        "cluster_type": "user",
        "challenger": task.joint[0],
        "champion": task.twin[0],
        "champion_training_rows": np.array([-1]),
    }
    return ChampionEvidence(**fields | changes)


def test_the_best_seed_on_validation_is_tested_by_itself(make_task):
    task = make_task(delta=0.005, margin=0.02, noise=0.006)
    scores = task_scores([task], GateSettings())
    per_seed = scores[0].joint - scores[0].twin.mean()
    worst, best = int(np.argmin(per_seed)), int(np.argmax(per_seed))
    ships = shipping(scores, {seed: float(seed == best) for seed in range(10)}, 0.05)
    assert (ships.seed, ships.validation_score, ships.passes) == (best, 1.0, True)
    (judged,) = ships.tasks
    assert judged.difference.delta == pytest.approx(per_seed[best])
    resampled = scores[0].resampled_joint[:, best] - scores[0].resampled_twin.mean(axis=1)
    assert judged.difference.standard_error == pytest.approx(resampled.std(ddof=1))
    assert judged.difference.n_seeds == 1
    unlucky = shipping(scores, {seed: float(seed == worst) for seed in range(10)}, 0.05)
    assert unlucky.seed == worst
    assert not unlucky.passes


def test_every_seed_has_a_validation_score(make_task):
    scores = task_scores([make_task(n_seeds=3)], GateSettings())
    with pytest.raises(UserError, match=r"validation: scores of seeds \[0, 1\], the evidence has"):
        shipping(scores, {0: 0.1, 1: 0.2}, 0.05)


def test_a_challenger_as_good_as_the_champion_passes(make_task):
    verdict = against_champion([champion_evidence(make_task, 0.01)], GateSettings())
    assert verdict.decision == "pass"
    (task,) = verdict.tasks
    assert task.difference.seed_variance == 0
    assert task.lower < task.difference.delta
    assert verdict.reasons[0].startswith("buy: non-inferior; logloss +")


def test_one_worse_target_fails_the_challenger(make_task):
    worse = champion_evidence(make_task, -0.02, name="click")
    verdict = against_champion([champion_evidence(make_task, 0.01), worse], GateSettings())
    assert verdict.decision == "fail"
    assert [task.non_inferior for task in verdict.tasks] == [True, False]
    assert "click: not shown non-inferior" in verdict.reasons[1]


def test_a_champion_that_has_seen_the_test_rows_is_not_compared_with(make_task):
    evidence = champion_evidence(make_task, 0.01, champion_training_rows=np.array([3, 5, 1000]))
    verdict = against_champion([evidence], GateSettings())
    assert verdict.decision == "refused"
    assert verdict.reasons == [
        "buy: 2 of 400 test rows were in the champion's training data;"
        " choose a later or other test set"
    ]
    assert against_champion([], GateSettings()).decision == "refused"


def test_artefacts_on_other_rows_are_refused(make_task):
    evidence = champion_evidence(make_task, 0.01)
    moved = replace(evidence.challenger, row=evidence.challenger.row + 1)
    with pytest.raises(
        UserError, match="buy: champion: other row in 400 places than buy: challenger"
    ):
        against_champion([replace(evidence, challenger=moved)], GateSettings())
