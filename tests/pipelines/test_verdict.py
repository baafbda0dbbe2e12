"""Who is promoted: KFP's own local orchestration of the pipelines, with steps that only note what
they were given."""

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local
from kfp.local.orchestrator import task_executor
from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils
from kfp.local.status import Status

from components.plan_cells.component import plan_cells
from counterpoint.stages.kfp import pipeline_arguments, pipeline_named
from counterpoint.stages.params import Params
from counterpoint.stages.table import STAGES

ROOT = Path(__file__).resolve().parents[2]
GRID = ("single_task-gcn-fixed", "mmoe-gcn-fixed")
Steps = list[tuple[str, dict[str, Any]]]


def steps(
    monkeypatch: pytest.MonkeyPatch, root: Path, name: str, decision: str, **settings: str
) -> Steps:
    """Steps of a pipeline that ran and their arguments; ``decision``: the chosen one's verdict."""
    ran: Steps = []

    def step(
        *, task_name: str, task_spec: Any, components: Any, io_store: Any, **_: Any
    ) -> tuple[dict[str, Any], Status]:
        component = task_spec.component_ref.name
        given = OrchestratorUtils.make_task_arguments(task_spec.inputs, io_store)
        ran.append((component, given))
        if component == "comp-plan-cells":
            return {"Output": plan_cells.python_func(**given)}, Status.SUCCESS
        made = components[component].output_definitions
        told = {"Output": f"digest of {component}", "decision": decision, "version": "7"}
        outputs = {key: told[key] for key in made.parameters}
        return outputs | {key: dsl.Artifact(uri=key) for key in made.artifacts}, Status.SUCCESS

    monkeypatch.setattr(task_executor, "execute_single_task", step)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    pipeline = pipeline_named(ROOT, name)
    pipeline(**pipeline_arguments(pipeline, Params(grid=GRID), settings))
    return ran


def test_the_chosen_version_is_promoted_where_asked_and_the_verdict_is_promote(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = steps(monkeypatch, tmp_path, "train_and_register", "promote", promote="3")
    (given,) = [arguments for name, arguments in ran if name == "comp-promote"]
    assert (given["version"], given["expect_champion"]) == ("7", "3")
    assert given["graph_digest"] == "digest of comp-build-graph"
    assert given["graph"].uri == "graph_out"
    assert [name for name, _ in ran][-2:] == ["comp-promote", "comp-record-failure"]


@pytest.mark.parametrize(
    ("decision", "settings"),
    [("hold", {"promote": "3"}), ("reject", {"promote": "none"}), ("", {"promote": "3"}),
     ("promote", {}), ("promote", {"promote": ""})],
)  # fmt: skip
def test_nobody_is_promoted_otherwise_and_all_else_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, decision: str, settings: dict[str, str]
) -> None:
    ran = [
        name for name, _ in steps(monkeypatch, tmp_path, "train_and_register", decision, **settings)
    ]
    wanted = [f"comp-{stage.name.replace('_', '-')}" for stage in STAGES]
    assert sorted(ran) == sorted([*wanted, "comp-train", "comp-plan-cells", "comp-record-failure"])


def test_each_cell_is_trained_on_the_graph_and_the_trunks_of_this_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = steps(monkeypatch, tmp_path, "train_and_register", "hold")
    given = [arguments for name, arguments in ran if name == "comp-train"]
    assert sorted(arguments["cell"] for arguments in given) == sorted(GRID)
    for arguments in given:
        assert arguments["graph_digest"] == "digest of comp-build-graph"
        assert arguments["pretrained_digest"] == "digest of comp-pretrain"
        assert (arguments["graph"].uri, arguments["pretrained"].uri) == (
            "graph_out",
            "pretrained_out",
        )


def test_the_pipeline_promote_judges_on_todays_graph_and_trains_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"version": "candidate", "expect_champion": "3"}
    ran = steps(monkeypatch, tmp_path, "promote", "", **settings)
    wanted = ["ingest", "validate", "build-graph", "promote", "record-failure"]
    assert [name for name, _ in ran] == [f"comp-{name}" for name in wanted]
    given = ran[3][1]
    assert {name: given[name] for name in settings} == settings
    assert given["graph_digest"] == "digest of comp-build-graph"
    assert given["register"]["model"] == "counterpoint"
