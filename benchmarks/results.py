"""Studies and measurements behind docs/results.md: compute what is missing, then render.

    python -m benchmarks.results                 all studies, then the page
    python -m benchmarks.results lastfm dblp     these studies, then the page
    python -m benchmarks.results --render        the page alone

A study is a YAML file in benchmarks/studies: a source and the parameters of a pipeline run. It
runs by the product's own stages in a work folder outside the repository, cell by cell; a killed
run goes on where it was, and a cell is computed again only if code, data or parameters changed.
What it found is checked in under benchmarks/results, with digests.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks import claims, study_tables
from benchmarks.intervals import over_seeds
from counterpoint.data.schema import read_yaml
from counterpoint.errors import UserError
from counterpoint.files import (
    json_text,
    read_json,
    sha256_of_text,
    write_json,
    write_text,
)
from counterpoint.stages.params import Params
from counterpoint.stages.params_file import parsed_params
from counterpoint.stages.runner import calls, run_if_needed
from counterpoint.stages.sources import code_digest
from counterpoint.stages.table import STAGES
from counterpoint.training.settings import cell_named

HERE = Path(__file__).parent
STUDIES, RESULTS = HERE / "studies", HERE / "results"
PAGE = HERE.parent / "docs" / "results.md"
WEIGHTINGS_SHOWN = {
    "aux_ts": "AUX-TS",
    "aux_ts-all_sims": "AUX-TS, all similarities",
    "selar": "SELAR",
    "uncertainty": "uncertainty",
}
DATA = HERE.parent.parent / "shared" / "data"
WORK = Path.home() / ".cache" / "counterpoint-studies"
SKIPPED = "register"  # a study is no release


class Part(BaseModel):
    """Of an imported data set: the targets, and of whose nodes what share; the whole else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: tuple[str, ...] | None = None
    of: str | None = None
    share: float = 1.0


class Source(BaseModel):
    """A planted preset, or an importer and the folder of its original files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    planted: str | None = None
    dials: dict[str, Any] = {}
    importer: str | None = None
    folder: str | None = None
    part: Part | None = None


class Published(BaseModel):
    """What a paper reports for the same question: metric to method to mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    values: dict[str, dict[str, float]]


class Study(BaseModel):
    """What benchmarks/studies/<name>.yaml says; what it leaves out is as in the study ``like``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    question: str
    source: Source
    params: dict[str, Any]
    published: Published | None = None
    like: str | None = None


def study_values(name: str) -> dict[str, Any]:
    """What its file says over what the study it is like says, with the variants that it has.

    A null takes out what that study has.
    """
    own = read_yaml(STUDIES / f"{name}.yaml")
    if "like" not in own:
        return own
    values = changed(study_values(own["like"]), own)
    params = values["params"]
    if "overrides" in params:
        used = {part for cell in params["grid"] for part in cell.split("-")}
        params["overrides"] = {k: v for k, v in params["overrides"].items() if k in used}
    return values


def changed(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, mappings within mappings alike; nulls take out."""
    both = dict(base)
    for key, value in over.items():
        if value is None:
            both.pop(key, None)
        elif isinstance(value, dict) and isinstance(both.get(key), dict):
            both[key] = changed(both[key], value)
        else:
            both[key] = value
    return both


def study_named(name: str) -> Study:
    return Study.model_validate(study_values(name))


def study_names() -> list[str]:
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def study_digest(name: str) -> str:
    """Of all that decides its result; a better title makes nothing stale."""
    values = study_named(name).model_dump(include={"source", "params"}, mode="json")
    if values["source"]["part"] is None:  # older than parts are
        del values["source"]["part"]
    return sha256_of_text(json_text(values))


def source_digest() -> str:
    """One digest over the code of all stages."""
    return sha256_of_text("".join(code_digest(stage.name) for stage in STAGES))


def commit() -> str:
    """The commit that computes, marked if code or studies differ from it."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True)

    clean = git("diff", "--quiet", "HEAD", "--", "../src", "*.py", "studies").returncode == 0
    return git("rev-parse", "--short=12", "HEAD").stdout.strip() + ("" if clean else "-dirty")


def pipeline_params(study: Study, work: Path, data: Path) -> Params:
    """Parameters of the study's pipeline run; imports its data if it is not there yet."""
    source = study.source
    if source.planted is not None:
        found = {"source": "planted", "preset": source.planted, "dials": source.dials}
    else:
        folder = work / "source"
        if not folder.is_dir():
            imported(source, data, folder)
        found = {"source": "folder", "path": str(folder)}
    return parsed_params({**study.params, "data": found}, Path("study"))


def imported(source: Source, data: Path, folder: Path) -> None:
    """Import the source, or a part of it, as the data-set folder ``folder``."""
    from counterpoint.data.folder import open_folder
    from counterpoint.data.importers import import_dataset
    from counterpoint.data.part import Share, write_part

    part = source.part
    whole = folder if part is None else folder.with_name("whole")
    import_dataset(str(source.importer), data / str(source.folder), whole)
    if part is not None:
        roles = None if part.targets is None else dict.fromkeys(part.targets, "target")
        share = None if part.of is None else Share(part.of, part.share)
        write_part(open_folder(whole), folder, roles, share)


def compute(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Run a study's missing cells and return what is checked in."""
    study = study_named(name)
    params = pipeline_params(study, work, data)
    for stage, cell in calls(params):
        if stage.name != SKIPPED:
            title = stage.name if cell is None else f"{stage.name} {cell}"
            ran = run_if_needed(stage, cell, params, work, _reporter(f"{name}: {title}"))
            print(f"{name}: {title}: {'done' if ran else 'unchanged'}", flush=True)
    return summary(name, params, work)


def _reporter(title: str) -> Any:
    last = {"line": ""}

    def report(line: str) -> None:
        head = line.partition(":")[0]
        if head != last["line"]:
            last["line"] = head
            print(f"{title}: {line}", flush=True)

    return report


def summary(name: str, params: Params, work: Path) -> dict[str, Any]:
    """The part of the evaluation that docs/results.md shows, with the digests behind it."""
    report = read_json(work / "evaluation" / "report.json")
    manifests = {cell: read_json(work / "runs" / cell / "manifest.json") for cell in params.grid}
    return {
        "study": study_digest(name),
        "commit": commit(),
        "code": source_digest(),
        "graph": read_json(work / "graph" / "manifest.json")["digest"],
        "cells": {cell: manifest["digest"] for cell, manifest in manifests.items()},
        "seeds": list(params.seeds),
        "summaries": report["summaries"],
        "on_test": {cell: on_test(work, cell, params.seeds) for cell in params.grid},
        "references": report["references"],
        "over_fixed": over_fixed(params, work, primary_metrics(report)),
        "last_weights": last_weights(params, work),
        "verdicts": [verdict_summary(found) for found in report["candidates"]],
        "gates": study_tables.gates(report),
        "chosen": report["chosen"],
    }


def primary_metrics(report: dict[str, Any]) -> dict[str, str]:
    """The metric that decides, by target."""
    judged = [task for verdict in report["candidates"] for task in verdict["tasks"]]
    return {task["name"]: task["metric"] for task in judged}


def over_fixed(params: Params, work: Path, metrics: dict[str, str]) -> dict[str, Any]:
    """Each weighting less fixed weights on the same model: mean and 95 % interval over seeds.

    Paired by seed; the interval is of the training's chance alone, the test set is one.
    """
    found: dict[str, Any] = {}
    for name in params.grid:
        cell = cell_named(name)
        fixed = f"{cell.architecture}-{cell.encoder}-fixed"
        if cell.is_twin or name == fixed or fixed not in params.grid or len(params.seeds) < 2:
            continue
        ours, theirs = (on_test(work, one, params.seeds) for one in (name, fixed))
        found[name] = {
            task: over_seeds(
                [a - b for a, b in zip(ours[task][metric], theirs[task][metric], strict=True)]
            )
            for task, metric in metrics.items()
        }
    return found


def last_weights(params: Params, work: Path) -> dict[str, dict[str, float]]:
    """Weight of each task in the last epoch, mean over seeds, by joint cell."""
    import polars as pl

    found = {}
    for name in params.grid:
        history = pl.read_parquet(work / "runs" / name / "history.parquet").filter(name="weight")
        if not cell_named(name).is_twin and not history.is_empty():
            last = history.filter(pl.col("epoch") == pl.col("epoch").max().over("seed"))
            means = last.group_by("task").agg(pl.col("value").mean()).sort("task")
            found[name] = dict(means.iter_rows())
    return found


def on_test(work: Path, cell: str, seeds: Sequence[int]) -> dict[str, dict[str, list[Any]]]:
    """By task and metric the values on test, seed after seed; None where one is undefined."""
    by_seed = read_json(work / "runs" / cell / "metrics.json")["seeds"]
    return {
        task: {
            metric: [by_seed[str(seed)][task]["test"][metric] for seed in seeds]
            for metric in by_split["test"]
        }
        for task, by_split in by_seed[str(seeds[0])].items()
    }


def verdict_summary(found: dict[str, Any]) -> dict[str, Any]:
    kept = ("name", "metric", "margin", "joint", "twin", "lower", "upper", "state")
    tasks = [
        {key: task[key] for key in kept} | {"delta": task["difference"]["delta"]}
        for task in found["tasks"]
    ]
    named = {key: found[key] for key in ("candidate", "decision", "provisional", "reasons")}
    return {**named, "tasks": tasks}


def rendered() -> str:
    """docs/results.md from what is checked in; what was not computed says so."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown of our own numbers
    )
    studies = []
    for name in study_names():
        path = RESULTS / f"{name}.json"
        found = read_json(path) if path.is_file() else None
        stale = found is not None and found["study"] != study_digest(name)
        shown = {"name": name, "study": study_named(name), "found": found, "stale": stale}
        studies.append(shown)
    measured = {
        path.stem: read_json(path)
        for path in sorted(RESULTS.glob("*.json"))
        if path.stem not in study_names()
    }
    for shown in studies:  # a ranking is shown beside the models that it is of
        ranked = measured.get(f"ranking_{shown['name']}")
        cells = shown["found"]["cells"] if shown["found"] else {}
        if ranked and not ranked["cells"].items() <= cells.items():
            del measured[f"ranking_{shown['name']}"]
    template = environment.get_template("results.md.j2")
    return template.render(
        studies=studies,
        measured=measured,
        weightings=WEIGHTINGS_SHOWN,
        over_fixed=[row for shown in studies for row in rows_over_fixed(shown)],
        claims=claims.by_paper(RESULTS),
        tables=study_tables,
    )


def rows_over_fixed(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """For each target of a study the learned weightings of a shared bottom, less fixed weights."""
    found = shown["found"]
    if found is None or not found["over_fixed"]:
        return []
    ending = {cell.split("-", 2)[2]: by_task for cell, by_task in found["over_fixed"].items()}
    weights = {cell.split("-", 2)[2]: found["last_weights"][cell] for cell in found["over_fixed"]}
    return [
        {
            "study": shown["study"].title,
            "task": task["name"],
            "metric": task["metric"],
            "differences": [ending.get(w, {}).get(task["name"]) for w in WEIGHTINGS_SHOWN],
            "weights": [weights.get(w) for w in WEIGHTINGS_SHOWN],
        }
        for task in found["verdicts"][0]["tasks"]
        if ending.keys() & WEIGHTINGS_SHOWN.keys()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", help="names; none: all")
    parser.add_argument("--render", action="store_true", help="compute nothing")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of artefacts")
    arguments = parser.parse_args()
    try:
        for name in [] if arguments.render else arguments.studies or study_names():
            found = compute(name, arguments.data, arguments.work / name)
            write_json(RESULTS / f"{name}.json", found)
        write_text(PAGE, rendered())
    except UserError as fault:
        sys.exit("\n".join(fault.faults))
    print(f"{PAGE} is rendered")


if __name__ == "__main__":
    main()
