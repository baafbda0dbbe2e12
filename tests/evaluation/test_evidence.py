from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from counterpoint.errors import UserError
from counterpoint.evaluation.evidence import (
    GateSettings,
    Request,
    check_tasks,
    oriented_resamples,
)


def request(task) -> Request:
    return Request(task.metric, task.cluster_type, {"joint": task.joint[0], "twin": task.twin[0]})


def test_looks_share_alpha():
    assert GateSettings().level == 0.05
    assert GateSettings(looks=(6, 10, 20)).level == pytest.approx(0.05 / 3)


@pytest.mark.parametrize(
    "change", [{"alpha": 0}, {"n_resamples": 1999}, {"looks": ()}, {"looks": (0,)}, {"margin": 1}]
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError):
        GateSettings(**change)


def test_all_faults_of_the_evidence_are_listed(make_task):
    task = make_task(n_clusters=5)
    fewer = {seed: parts for seed, parts in task.joint.items() if seed != 3}
    with pytest.raises(UserError) as fault:
        check_tasks([task, task, replace(task, name="click", margin=0.0, joint=fewer)])
    assert fault.value.faults[0] == "buy: given more than once"
    assert fault.value.faults[1] == "click: margin 0.0; it must be above 0"
    assert fault.value.faults[2].startswith("click: seeds [0, 1, 2, 4,")
    with pytest.raises(UserError, match="no target task"):
        check_tasks([])
    one_seed = replace(task, twin={0: task.twin[0]}, joint={0: task.joint[0]})
    with pytest.raises(UserError, match=r"buy: 1 seed\(s\)"):
        check_tasks([one_seed])


def test_resamples_are_oriented_and_do_not_depend_on_the_order_of_tasks(make_task):
    tasks = [make_task("a", 0.1, seed=1), make_task("b", seed=2, cluster_type="item")]
    tasks.append(make_task("c", seed=3, n_clusters=150))
    settings = GateSettings()
    forwards = oriented_resamples([request(task) for task in tasks], settings)
    backwards = oriented_resamples([request(task) for task in reversed(tasks)], settings)
    for one, other in zip(forwards, reversed(backwards), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert np.all(forwards[0] < 0)


def test_one_cluster_type_is_drawn_once_for_all_its_tasks(make_task):
    task = make_task()
    other = replace(task, cluster_type="item")
    same, again, apart = oriented_resamples(
        [request(task), request(task), request(other)], GateSettings()
    )
    np.testing.assert_array_equal(same, again)
    assert abs(np.corrcoef(same[:, 0], apart[:, 0])[0, 1]) < 0.1
