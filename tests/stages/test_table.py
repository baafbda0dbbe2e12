"""dvc.yaml, the KFP pipeline and its golden YAML against the table of stages."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoint.stages.dvc import WORK, dvc_yaml
from counterpoint.stages.kfp import COMPILED, compile_pipeline, pipeline_named
from counterpoint.stages.params import Params
from counterpoint.stages.sources import PACKAGE, source_files
from counterpoint.stages.table import STAGES, Stage, stage_named

ROOT = Path(__file__).resolve().parents[2]


def test_dvc_yaml_is_rendered() -> None:
    assert (ROOT / "dvc.yaml").read_text() == dvc_yaml(), "run `make golden`"


def test_every_input_is_made_by_an_earlier_stage() -> None:
    made: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= made
        made.add(stage.output)


def test_every_parameter_is_a_section_and_every_section_is_used() -> None:
    sections = {field.alias or name for name, field in Params.model_fields.items()}
    used = {name for stage in STAGES for name in stage.params} | {"grid", "monitor"}
    assert used == sections


def test_every_stage_has_its_function() -> None:
    for stage in STAGES:
        assert stage.function.__name__ == stage.name
        assert stage_named(stage.name) is stage


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_depends_on_every_file_that_it_loads(stage: Stage) -> None:
    """What a fresh interpreter has loaded of the package after importing the stage's module."""
    code = (
        f"import sys, counterpoint.stages.{stage.name}\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('counterpoint')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(map(Path, done.stdout.split()))
    assert PACKAGE / "stages" / f"{stage.name}.py" in loaded
    assert loaded - {PACKAGE / "__init__.py"} <= set(source_files(stage.name))


def test_stages_do_not_depend_on_what_they_do_not_use() -> None:
    names = {path.relative_to(PACKAGE).parts[0] for path in source_files("build_graph")}
    assert not names & {"nn", "models", "weighting", "training", "registry", "evaluation"}


@pytest.fixture(scope="module")
def pipeline() -> dict[str, Any]:
    return next(yaml.safe_load_all((ROOT / "pipelines" / "train_and_register.yaml").read_text()))


def flat_tasks(pipeline: dict[str, Any]) -> dict[str, Any]:
    """Tasks of the pipeline by stage name, inside the exit handler and the loop."""
    tasks: dict[str, Any] = {}
    for component in pipeline["components"].values():
        tasks |= component.get("dag", {}).get("tasks", {})
    found = {name.replace("-", "_"): task for name, task in tasks.items()}
    return {stage.name: found[stage.name] for stage in STAGES}


@pytest.mark.parametrize("file", COMPILED)
def test_golden_pipeline_is_compiled(tmp_path: Path, file: str) -> None:
    name, gpus = COMPILED[file]
    compile_pipeline(pipeline_named(ROOT, name, gpus), tmp_path / file)
    fresh = (tmp_path / file).read_text()
    assert fresh == (ROOT / "pipelines" / file).read_text(), "run `make golden`"


def test_kfp_and_dvc_have_the_same_stages_parameters_and_edges(pipeline: dict[str, Any]) -> None:
    dvc = yaml.safe_load(dvc_yaml())["stages"]
    tasks = flat_tasks(pipeline)
    assert set(dvc) == set(tasks)
    for stage in STAGES:
        entry, inputs = dvc[stage.name], tasks[stage.name]["inputs"]
        deps = {dep.removeprefix(f"{WORK}/") for dep in entry["deps"] if dep.startswith(WORK)}
        assert deps == set(inputs.get("artifacts", {}))
        digests = {f"{name}_digest" if name != "runs" else "run_digests" for name in stage.inputs}
        others = {"code", "cell"} if stage.each else {"code"}
        assert set(entry.get("params", [])) | digests | others == set(inputs.get("parameters", {}))


def test_gates_and_registration_are_never_cached_on_a_cluster(pipeline: dict[str, Any]) -> None:
    for stage in STAGES:
        options = flat_tasks(pipeline)[stage.name]["cachingOptions"]
        assert options.get("enableCache", False) == stage.cache
