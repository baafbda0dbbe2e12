import json

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.evaluation.card import (
    Card,
    CardTask,
    calibration,
    limits,
    markdown,
    read_card,
    write_card,
)
from counterpoint.evaluation.evidence import GateSettings
from counterpoint.evaluation.gate import judge
from counterpoint.evaluation.slices import Slice
from counterpoint.metrics import Parts


@pytest.fixture
def card(make_task):
    settings = GateSettings()
    verdict = judge("mmoe-gcn-fixed", [make_task()], settings, {s: 0.1 * s for s in range(10)})
    bins = calibration(
        Parts("binary", *np.arange(60).reshape(3, 20)[[0, 1]], [0, 1] * 10, [0.5] * 20)
    )
    task = CardTask(
        kind="binary",
        entity=["user", "item"],
        role="target",
        metrics={"auc": 0.75, "ap": None},
        calibration=bins,
        slices=[
            Slice(name="cold", node_type="user", metric="auc", n_rows=3, n_clusters=1, value=None),
            Slice(name="warm", node_type="user", metric="auc", n_rows=9, n_clusters=4, value=0.7),
        ],
    )
    return Card(
        data="market",
        data_facts={"node_types": {"user": 3, "item": 4}, "relations": {"clicked": 9}},
        seed=9,
        tasks={"buy": task},
        verdict=verdict,
        twins={verdict.tasks[0].name: "single_task-gcn-fixed-wide"},
        gate=settings,
        limits=limits(verdict, False, {}),
        lineage={"data_digest": "d" * 64},
        reproduce="git checkout abc",
    )


def test_what_is_written_is_read_and_equal_cards_are_equal_bytes(card, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_card(tmp_path / name, card)
    for name in ("card.json", "card.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert read_card(tmp_path / "one") == card
    (tmp_path / "one" / "card.json").write_text(json.dumps({"data": "x"}))
    with pytest.raises(UserError, match=r"card.json: seed: Field required"):
        read_card(tmp_path / "one")


def test_the_page_says_verdict_intervals_calibration_slices_limits_and_how_to_reproduce(card):
    text = markdown(card)
    (judged,) = card.verdict.tasks
    assert text.startswith("# mmoe-gcn-fixed on market\n")
    assert f"**{card.verdict.decision}**: " in text
    row = next(line for line in text.splitlines() if line.startswith(f"| {judged.name} | "))
    assert f"{judged.lower:+.4f}".replace("-", "−") in row
    assert "| single_task-gcn-fixed-wide |" in row
    assert "auc 0.7500, ap undefined." in text
    assert "| cold user | 3 | 1 | undefined |" in text
    assert "| warm user | 9 | 4 | 0.7000 |" in text
    assert text.count("| 0.5000 | 0.5000 | 2 |") == 10
    assert all(f"- {limit}" in text for limit in card.limits)
    assert "    git checkout abc" in text
    assert "user 3, item 4" in text


def test_calibration_bins_rows_by_their_prediction():
    score = np.linspace(0, 1, 100)
    parts = Parts("binary", np.arange(100), np.arange(100), score > 0.7, score)
    bins = calibration(parts)
    assert [one.n for one in bins] == [10] * 10
    assert [one.observed for one in bins] == [0] * 7 + [1] * 3
    assert bins[0].predicted == pytest.approx(score[:10].mean())
    few = Parts("binary", [0, 1], [0, 1], [0, 1], [0.2, 0.4])
    assert [one.n for one in calibration(few)] == [1, 1]
    ranks = Parts.of_ranks(cluster=[0], row=[0], rank=[1], n_candidates=[2])
    assert calibration(ranks) == []


def test_limits_name_what_is_special_about_this_candidate(card):
    def told(verdict, samples_ranks=False, lineage=None):
        found = limits(verdict, samples_ranks, lineage or {})
        return [line for line in found if line not in plain]

    ships = card.verdict.ships.model_copy(update={"passes": True})
    usual = card.verdict.model_copy(update={"ships": ships})
    plain = limits(usual, False, {"git_dirty": "false"})
    sampled = "Ranks are among sampled candidates; among all destinations they are lower."
    assert told(usual, samples_ranks=True) == [sampled]
    dirty = "The code had changes that no commit holds."
    assert told(usual, lineage={"git_dirty": "true"}) == [dirty]
    provisional = usual.model_copy(update={"provisional": True})
    assert told(provisional) == ["The verdict is provisional: 10 seeds."]
    alone = "The seed that ships does not pass the gate by itself."
    assert told(usual.model_copy(update={"ships": None})) == [alone]
    failing = ships.model_copy(update={"passes": False})
    assert told(usual.model_copy(update={"ships": failing})) == [alone]
