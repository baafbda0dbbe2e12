import io
import json

import pytest
from rich.console import Console

from counterpoint.evaluation.evidence import GateSettings
from counterpoint.evaluation.gate import judge
from counterpoint.evaluation.report import (
    Report,
    aligned,
    lacks,
    listed,
    number,
    short,
    signed,
    task_sentence,
    verdict_lines,
    verdict_sentence,
)
from counterpoint.files import json_text

SETTINGS = GateSettings()


def report_of(*verdicts) -> Report:
    return Report(
        name="shop",
        candidates=list(verdicts),
        chosen=None,
        preflight={},
        twins={},
        summaries={},
        references={},
        reference_notes=[],
        curves=[],
        data_facts={},
        validation={},
        lineage={},
        parameters={},
    )


def printed(report: Report, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(verdict_lines(report))
    return console.export_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.79014, "0.7901"),
        (-0.0312, "−0.0312"),
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (0.000344, "0.00034"),
        (-0.0000021, "−0.000002"),
        (3e-8, "3.0e−08"),
        (1234.56, "1234.6"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_spellings_of_numbers():
    assert (signed(0.01), signed(-0.01)) == ("+0.0100", "−0.0100")
    assert (aligned(0.00031), aligned(-0.00001)) == ("0.0003", "0.0000")
    assert (short(0.02), short(100.0), short(1.0), short(0.0)) == ("0.02", "100", "1", "0")


def test_lists_of_names():
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == (
        "a",
        "a and b",
        "a, b and c",
    )


def test_the_chosen_candidate_stands_last(make_task):
    verdicts = [judge(name, [make_task()], SETTINGS) for name in ("ple", "mmoe", "snr")]
    report = report_of(*verdicts)
    assert [verdict.candidate for verdict in report.chosen_last] == ["ple", "mmoe", "snr"]
    chosen = report.model_copy(update={"chosen": "ple"})
    assert [verdict.candidate for verdict in chosen.chosen_last] == ["mmoe", "snr", "ple"]


def test_a_promotion_says_what_gains(make_task):
    verdict = judge("mmoe", [make_task("click", 0.03), make_task("buy", 0.0, seed=1)], SETTINGS)
    assert verdict_sentence(verdict) == "No target task pays more than its margin, and click gains."
    click, buy = verdict.tasks
    assert task_sentence(click).startswith("gains at least 0.0")
    assert task_sentence(buy).startswith("loses at most 0.00")
    assert task_sentence(buy).endswith("inside a margin of 0.02 logloss")


def test_a_promotion_for_the_mean_says_so(make_task):
    tasks = [make_task(name, 0.008, seed=seed) for seed, name in enumerate("abcd")]
    assert verdict_sentence(judge("mmoe", tasks, SETTINGS)).endswith(
        ", and the mean over tasks gains."
    )


def test_a_rejection_names_who_is_harmed(make_task):
    verdict = judge("mmoe", [make_task("click", 0.1), make_task("buy", -0.04, seed=1)], SETTINGS)
    assert verdict_sentence(verdict) == "Joint training harms buy."
    assert task_sentence(verdict.tasks[1]).startswith("a loss of at least 0.02")
    assert lacks(verdict) == []


def test_a_hold_says_what_is_open_and_what_it_lacks(make_task):
    open_task = make_task("buy", -0.004, margin=0.02, noise=0.012)
    verdict = judge("mmoe", [make_task("click", 0.05, seed=1), open_task], SETTINGS)
    assert verdict_sentence(verdict) == "It is open whether buy would pay more than the margin."
    assert task_sentence(verdict.tasks[1]).startswith("may lose as much as 0.02")
    assert len(lacks(verdict)) == 1
    assert lacks(verdict)[0].startswith("buy: ")


def test_a_hold_without_a_gain_says_that(make_task):
    tasks = [make_task("click", 0.001), make_task("buy", 0.0, seed=1)]
    assert verdict_sentence(judge("mmoe", tasks, SETTINGS)).endswith("no gain is shown either.")


def test_a_hold_for_few_seeds_says_that(make_task):
    tasks = [make_task("click", 0.05, n_seeds=4), make_task("buy", 0.04, n_seeds=4, seed=1)]
    verdict = judge("mmoe", tasks, SETTINGS)
    assert verdict_sentence(verdict).endswith("4 seeds are too few, 6 are the least.")


def test_a_hold_at_an_undeclared_look_says_that(make_task):
    tasks = [make_task("click", 0.05, n_seeds=8), make_task("buy", 0.04, n_seeds=8, seed=1)]
    assert "no declared look" in verdict_sentence(judge("mmoe", tasks, SETTINGS))


def test_a_hold_for_the_seed_that_ships_says_that(make_task):
    tasks = [make_task("click", 0.05, noise=0.015), make_task("buy", 0.04, noise=0.012, seed=1)]
    worst = min(range(10), key=lambda s: judge("m", tasks, SETTINGS).tasks[1].per_seed[s])
    verdict = judge("m", tasks, SETTINGS, {seed: float(seed == worst) for seed in range(10)})
    assert not verdict.ships.passes
    assert "does not pass by itself" in verdict_sentence(verdict)


def test_a_drop_inside_the_margin_and_no_loss_at_all(make_task):
    tasks = [
        make_task("click", 0.05),
        make_task("buy", -0.02, margin=0.04, seed=1),
        make_task("view", 0.011, seed=2),
    ]
    _, buy, view = judge("mmoe", tasks, SETTINGS).tasks
    assert task_sentence(buy).startswith("a real drop of at most 0.02")
    assert view.lower > 0 > view.gain_lower or task_sentence(view).startswith("gains")


def test_the_terminal_shows_it_in_80_columns(make_task):
    promoted = judge("mmoe", [make_task("click", 0.03), make_task("buy", 0.0, seed=1)], SETTINGS)
    rejected = judge("bottom", [make_task("click", 0.1), make_task("buy", -0.04)], SETTINGS)
    text = printed(report_of(promoted, rejected))
    assert "promote: No target task pays more than its margin, and click gains." in text
    assert "reject: Joint training harms buy." in text
    row = next(line for line in text.splitlines() if line.startswith("buy"))
    for task in promoted.tasks[1:]:
        for value in (number(task.joint), number(task.twin), signed(task.lower), "0.02"):
            assert value in row
    assert row.rstrip().endswith("non-inferior")
    assert "…" not in text


def test_the_terminal_says_that_there_is_nothing_to_judge():
    assert "nothing to judge" in printed(report_of())


def test_a_report_survives_json(make_task):
    verdict = judge("mmoe", [make_task("click", 0.03), make_task("buy", 0.0, seed=1)], SETTINGS)
    text = json_text(report_of(verdict).model_dump(mode="json"))
    again = Report.model_validate(json.loads(text))
    assert json_text(again.model_dump(mode="json")) == text
