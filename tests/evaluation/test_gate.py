import json
from dataclasses import replace

import pytest

from counterpoint.errors import UserError
from counterpoint.evaluation.evidence import GateSettings
from counterpoint.evaluation.gate import Verdict, judge, judge_candidates

SETTINGS = GateSettings()


def test_a_gain_without_harm_is_promoted(make_task):
    verdict = judge("mmoe", [make_task("click", 0.03), make_task("buy", 0.0, seed=1)], SETTINGS)
    assert verdict.decision == "promote"
    assert [task.state for task in verdict.tasks] == ["non_inferior", "non_inferior"]
    assert [task.gains for task in verdict.tasks] == [True, False]
    assert verdict.mean.gains
    assert verdict.worst_task == "buy"
    assert verdict.negative_transfer_count == 0
    assert not verdict.provisional
    assert verdict.ships is None
    assert len(verdict.reasons) == 3
    assert verdict.reasons[0].startswith("click: non-inferior; logloss +0.03 (bounds ")
    assert verdict.reasons[2].startswith("gain: click; mean over tasks +")


def test_one_harmed_task_rejects_whatever_the_others_gain(make_task):
    verdict = judge("mmoe", [make_task("click", 0.1), make_task("buy", -0.04, seed=1)], SETTINGS)
    assert verdict.decision == "reject"
    assert [task.state for task in verdict.tasks] == ["non_inferior", "harmed"]
    assert (verdict.negative_transfer_count, verdict.worst_task) == (1, "buy")
    assert not any(reason.startswith("lacking") for reason in verdict.reasons)


def test_an_open_task_holds_and_says_what_it_lacks(make_task):
    open_task = make_task("buy", -0.004, margin=0.02, noise=0.012)
    verdict = judge("mmoe", [make_task("click", 0.05, seed=1), open_task], SETTINGS)
    assert verdict.decision == "hold"
    found = verdict.tasks[1]
    assert found.state == "open"
    assert f"lacking, buy: {found.lacks}" in verdict.reasons
    assert "seeds" in found.lacks


def test_a_significant_drop_inside_the_margin_is_non_inferior_and_said(make_task):
    tasks = [make_task("click", 0.05), make_task("buy", -0.02, margin=0.04, seed=1)]
    verdict = judge("mmoe", tasks, SETTINGS)
    assert verdict.decision == "promote"
    assert verdict.tasks[1].state == "non_inferior"
    assert verdict.tasks[1].significant_drop
    assert verdict.negative_transfer_count == 1
    assert "buy: non-inferior, with a significant drop inside the margin" in verdict.reasons[1]


def test_without_a_gain_it_holds_unless_none_is_required(make_task):
    tasks = [make_task("click", 0.001), make_task("buy", 0.0, seed=1)]
    verdict = judge("mmoe", tasks, SETTINGS)
    assert verdict.decision == "hold"
    assert verdict.reasons[-1].startswith("lacking, a gain: best is click; ")
    assert judge("mmoe", tasks, GateSettings(require_gain=False)).decision == "promote"


def test_the_mean_over_tasks_can_be_the_gain(make_task):
    tasks = [make_task(name, 0.008, seed=seed) for seed, name in enumerate("abcd")]
    verdict = judge("mmoe", tasks, SETTINGS)
    assert not any(task.gains for task in verdict.tasks)
    assert verdict.mean.gains
    assert verdict.decision == "promote"


def test_gain_and_harm_are_held_to_holms_levels_and_margins_are_not(make_task):
    alone = judge("mmoe", [make_task("buy", 0.01)], SETTINGS).tasks[0]
    tasks = [make_task("buy", 0.01)] + [make_task(n, seed=7, cluster_type=n) for n in "xyz"]
    among = judge("mmoe", tasks, SETTINGS).tasks[0]
    assert alone.gains
    assert not among.gains
    assert among.gain_level == pytest.approx(0.05 / 4)
    assert among.lower == pytest.approx(alone.lower)
    harmed_alone = judge("mmoe", [make_task("buy", -0.01, margin=0.01)], SETTINGS).tasks[0]
    tasks[0] = make_task("buy", -0.01, margin=0.01)
    open_among = judge("mmoe", tasks, SETTINGS).tasks[0]
    assert (harmed_alone.state, open_among.state) == ("harmed", "open")
    assert open_among.upper_level == pytest.approx(0.05 / 4)


def test_below_six_seeds_the_verdict_is_provisional(make_task):
    tasks = [make_task("click", 0.05, n_seeds=4)]
    settings = GateSettings(looks=(4,))
    verdict = judge("mmoe", tasks, settings)
    assert (verdict.decision, verdict.provisional) == ("hold", True)
    assert "lacking, seeds: 4 of at least 6" in verdict.reasons[-1]
    allowed = judge("mmoe", tasks, settings.model_copy(update={"allow_provisional": True}))
    assert (allowed.decision, allowed.provisional) == ("promote", True)


def test_looks_are_declared_and_share_alpha(make_task):
    tasks = [make_task("click", 0.05)]
    undeclared = judge("mmoe", tasks, GateSettings(looks=(6, 20)))
    assert undeclared.decision == "hold"
    assert "lacking, a declared look: 10 seeds, not a declared look (6, 20)" in undeclared.reasons
    declared = judge("mmoe", tasks, GateSettings(looks=(6, 10, 20)))
    assert (declared.decision, declared.look) == ("promote", "look 2 of 3, 10 seeds")
    assert declared.level == pytest.approx(0.05 / 3)
    assert declared.tasks[0].lower < judge("mmoe", tasks, SETTINGS).tasks[0].lower


def test_the_seed_that_ships_must_pass_by_itself(make_task):
    task = make_task("buy", 0.012, margin=0.008, noise=0.005)
    per_seed = judge("mmoe", [task], SETTINGS).tasks[0].per_seed
    best, worst = max(per_seed, key=per_seed.get), min(per_seed, key=per_seed.get)
    good = judge("mmoe", [task], SETTINGS, {seed: float(seed == best) for seed in range(10)})
    assert (good.decision, good.ships.seed) == ("promote", best)
    bad = judge("mmoe", [task], SETTINGS, {seed: float(seed == worst) for seed in range(10)})
    assert (bad.decision, bad.ships.seed) == ("hold", worst)
    assert bad.reasons[-1].startswith(f"lacking, seed {worst} by itself: buy: not shown")
    with pytest.raises(UserError, match="validation: scores of seeds"):
        judge("mmoe", [task], SETTINGS, {})


def test_the_order_of_tasks_changes_nothing(make_task):
    tasks = [make_task("a", 0.01), make_task("b", -0.01, seed=1), make_task("c", seed=2)]
    tasks[2] = replace(tasks[2], cluster_type="item")
    forwards, backwards = judge("m", tasks, SETTINGS), judge("m", tasks[::-1], SETTINGS)
    assert forwards.decision == backwards.decision
    assert forwards.mean.difference.delta == pytest.approx(backwards.mean.difference.delta)
    for one, other in zip(forwards.tasks, reversed(backwards.tasks), strict=True):
        for field in ("lower", "upper", "gain_lower", "standard_error"):
            assert getattr(one, field) == pytest.approx(getattr(other, field))
    assert forwards.reasons[0] == backwards.reasons[2]


def test_a_model_against_itself_is_neither_better_nor_worse(make_task):
    task = make_task()
    verdict = judge("same", [replace(task, joint=task.twin)], SETTINGS)
    assert verdict.tasks[0].state == "non_inferior"
    assert verdict.decision == "hold"
    assert verdict.tasks[0].lower == verdict.tasks[0].upper == 0


def test_the_verdict_survives_json(make_task):
    validation = {seed: seed / 10 for seed in range(10)}
    verdict = judge("mmoe", [make_task("a", 0.01), make_task("b", -0.03)], SETTINGS, validation)
    text = verdict.model_dump_json()
    assert Verdict.model_validate_json(text) == verdict
    assert "NaN" not in text
    assert json.loads(text)["tasks"][0]["per_seed"]["3"] == verdict.tasks[0].per_seed[3]


def test_p_promote_is_the_smallest_level_that_promotes(make_task):
    tasks = [make_task("a", 0.012, noise=0.007), make_task("b", 0.0, noise=0.007, seed=1)]
    validation = {seed: float(seed) for seed in range(10)}
    for given in (None, validation):
        p_promote = judge("m", tasks, GateSettings(alpha=0.4), given).p_promote
        assert 0 < p_promote < 0.4
        for factor, decision in ((1.02, "promote"), (0.98, "hold")):
            settings = GateSettings(alpha=factor * p_promote)
            assert judge("m", tasks, settings, given).decision == decision


def test_several_candidates_are_promoted_at_holms_levels(make_task):
    clear = [make_task("a", 0.05)]
    border = [make_task("a", 0.0105, seed=1)]
    assert 0.025 < 2 * judge("border", border, SETTINGS).p_promote < 0.05
    evidence = {"border": border, "clear": clear, "other": [make_task("a", 0.0, seed=2)]}
    verdicts = judge_candidates(evidence, SETTINGS)
    assert list(verdicts) == ["border", "clear", "other"]
    assert verdicts["clear"].decision == "promote"
    assert verdicts["clear"].level == pytest.approx(0.05 / 3)
    assert verdicts["border"].level == pytest.approx(0.05 / 2)
    assert verdicts["other"].decision == "hold"
    validation = {name: dict.fromkeys(range(10), 0.0) for name in evidence}
    assert judge_candidates(evidence, SETTINGS, validation)["clear"].ships.seed == 0
