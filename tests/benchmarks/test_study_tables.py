import pytest

from benchmarks.study_tables import at_a_glance, gates, over_twins

TWIN, JOINT = "single_task-gcn-fixed", "mmoe-gcn-fixed"


def verdict(**tasks: tuple[float, float]) -> dict[str, object]:
    found = [
        {"name": name, "metric": "auc", "delta": delta, "margin": margin}
        for name, (delta, margin) in tasks.items()
    ]
    return {"candidate": JOINT, "decision": "hold", "tasks": found}


def test_the_worst_task_is_so_in_margins():
    (row,) = at_a_glance({"verdicts": [verdict(click=(-0.02, 0.1), buy=(-0.01, 0.01))]})
    assert row["candidate"] == JOINT
    assert row["worst"]["name"] == "buy"
    assert (row["below"], row["tasks"]) == (2, 2)


def test_a_cell_is_paired_with_its_twin_seed_by_seed():
    values = {
        JOINT: {"click": {"auc": [0.7, 0.9], "ap": [0.2, None]}},
        TWIN: {"click": {"auc": [0.6, 0.7], "ap": [0.1, 0.1]}},
    }
    found = {
        "verdicts": [verdict(click=(0.0, 0.1))],
        "cells": dict.fromkeys(values, "digest"),
        "on_test": values,
        "seeds": [0, 1],
    }
    (of_joint,) = over_twins(found).values()
    assert list(of_joint) == [("click", "auc")]  # AP was undefined once
    assert of_joint["click", "auc"]["mean"] == pytest.approx(0.15)
    assert of_joint["click", "auc"]["low"] == pytest.approx(0.15 - 0.05 * 12.706, abs=1e-4)
    assert over_twins({**found, "on_test": {}}) == {}


def test_gates_are_means_over_layers_and_relations():
    def reading(cell: str, **means: float) -> dict[str, object]:
        values = {name: {"mean": mean} for name, mean in means.items()}
        return {"cell": cell, "task": "click", "values": values}

    agreement = {"cell": TWIN, "task": "click", "correlation": {"mean": 0.5, "sd": 0.1}, "most": 1}
    report = {
        "agreements": [agreement],
        "readings": [
            reading("a", gate_entropy=0.2, divergence=0.0),
            reading("a", gate_entropy=0.6),
            reading(TWIN, attention=0.3),
            reading("b", attention=0.3),
        ],
    }
    of_a, of_twin = gates(report)
    assert of_a["gate_entropy"] == pytest.approx(0.4)
    assert (of_a["divergence"], of_a["others"], of_a["agreement"]) == (0.0, None, None)
    assert (of_twin["gate_entropy"], of_twin["agreement"]["mean"]) == (None, 0.5)
