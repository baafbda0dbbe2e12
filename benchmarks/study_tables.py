"""What the page shows of a study beside its verdicts: at a glance, over the twins, the gates."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from benchmarks.intervals import over_seeds
from counterpoint.training.settings import cell_named

GATES = ("gate_entropy", "others", "divergence")


def anchor(heading: str) -> str:
    """Where a heading of a page is found, as GitHub and its like make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def decisions(found: Mapping[str, Any]) -> Counter[str]:
    """How many candidates the gate would promote, hold and reject."""
    return Counter(verdict["decision"] for verdict in found["verdicts"])


def at_a_glance(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each candidate its decision, the tasks below the twin, and the worst one in margins."""
    return [
        {
            "candidate": verdict["candidate"],
            "decision": verdict["decision"],
            "tasks": len(verdict["tasks"]),
            "below": sum(task["delta"] < 0 for task in verdict["tasks"]),
            "worst": min(verdict["tasks"], key=lambda task: task["delta"] / task["margin"]),
        }
        for verdict in found["verdicts"]
    ]


def over_twins(found: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], dict[str, float]]]:
    """By joint cell, task and metric: the mean over its twins, with a 95 % interval over seeds.

    Of the deciding metric, average precision and macro-F1. The twin is the plain one, where a
    verdict may take a wider one; the test set is one: the interval is of the training's chance.
    """
    judged = {task["name"]: task["metric"] for task in found["verdicts"][0]["tasks"]}
    differences, values = {}, found.get("on_test", {})
    for name in found["cells"]:
        twin = cell_named(name).twin
        if cell_named(name).is_twin or twin not in values or len(found["seeds"]) < 2:
            continue
        differences[name] = {
            (task, metric): over_seeds(
                [
                    ours - theirs
                    for ours, theirs in zip(
                        values[name][task][metric],
                        values[twin][task][metric],
                        strict=True,
                    )
                ]
            )
            for task, primary in judged.items()
            for metric in dict.fromkeys([primary, "ap", "macro_f1"])
            if None not in values[name][task].get(metric, [None])
        }
    return differences


def gates(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How layers read, by cell and task: means over layers and relations, agreement with a truth.

    Args:
        report: ``report.json`` of an evaluation.
    """
    agreed = {(one["cell"], one["task"]): one for one in report["agreements"]}
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for reading in report["readings"]:
        found.setdefault((reading["cell"], reading["task"]), []).append(reading["values"])
    rows = [
        {
            "cell": cell,
            "task": task,
            **dict(_means(values)),
            "agreement": agreed[cell, task]["correlation"] if (cell, task) in agreed else None,
            "most": agreed[cell, task]["most"] if (cell, task) in agreed else None,
        }
        for (cell, task), values in found.items()
    ]
    return [row for row in rows if any(row[name] is not None for name in (*GATES, "agreement"))]


def _means(values: list[dict[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for name in GATES:
        means = [value[name]["mean"] for value in values if value.get(name)]
        yield name, fmean(means) if means else None
