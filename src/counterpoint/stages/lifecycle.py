"""What the components of a registered model call: promote, score, monitor.

No stages: what they move or ask is in the registry, at the tracking server of the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from counterpoint.errors import UserError
from counterpoint.evaluation.drift import DriftSettings
from counterpoint.files import new_folder, write_json, write_manifest
from counterpoint.registry.batch import score_file
from counterpoint.registry.promotion import expected_champion
from counterpoint.registry.promotion import promote as promoted
from counterpoint.registry.scores import Unknown
from counterpoint.registry.tracking import Tracking, connect
from counterpoint.stages.champion import judge_on
from counterpoint.stages.component import check_code, check_digests, check_server
from counterpoint.stages.monitor import monitor as compared
from counterpoint.stages.params import RegisterParams

MOVE = "move.json"


def promote(
    *,
    version: str,
    expect_champion: str,
    graph: str,
    graph_digest: str,
    register: Mapping[str, Any],
    code: str,
    output: str,
) -> str:
    """Make a version champion, as `counterpoint models promote` does; return its number.

    The move with its evidence is left in ``output``.

    Args:
        version: number or alias.
        expect_champion: number of the version that is champion now, or none.
        graph: folder of the graph store with today's test set.
        graph_digest: of it, as the pipeline passed it.
        register: the section of params.yaml; it names the model.
        code: digest of this module's source files; empty: not checked.
        output: folder to make.

    Raises:
        UserError: as :func:`counterpoint.registry.promotion.promote`; no tracking server is set,
            or the parameters name one.
    """
    check_code("lifecycle", code)
    check_digests({"graph": Path(graph)}, {"graph": graph_digest})
    expected = expected_champion(expect_champion)
    tracking, model = _registry(register, output)
    judge = judge_on(tracking, model, Path(graph))
    move = promoted(tracking, model, version, expect_champion=expected, judge=judge)
    with new_folder(Path(output)) as scratch:
        write_json(scratch / MOVE, move.model_dump(mode="json"))
        write_manifest(scratch)
    print(f"champion is version {move.version}, before: {move.before or 'none'}", flush=True)
    return str(move.version)


def score(
    *,
    version: str,
    task: str,
    unknown: str,
    source: str,
    register: Mapping[str, Any],
    code: str,
    output: str,
) -> str:
    """Score a parquet file into a folder with a manifest; return the version that was meant.

    Args:
        version: number or alias.
        task: of the model.
        unknown: what happens to nodes that the model does not know, refuse or average.
        source: the parquet file, with src and dst, or id.
        register: the section of params.yaml; it names the model.
        code: digest of this module's source files; empty: not checked.
        output: folder to make.

    Raises:
        UserError: as :func:`counterpoint.registry.batch.score_file`; no tracking server is set,
            or the parameters name one.
    """
    check_code("lifecycle", code)
    if unknown not in get_args(Unknown):
        raise UserError(f"unknown: {unknown!r}; {' or '.join(get_args(Unknown))}")
    tracking, model = _registry(register, output)
    rule = cast(Unknown, unknown)
    scored = score_file(tracking, model, version, task, Path(source), Path(output), rule)
    meant = scored.question.version
    print(f"{scored.rows:,} rows of {task} by version {meant}", flush=True)
    return str(meant)


def monitor(
    *,
    version: str,
    data: str,
    graph: str,
    digests: Mapping[str, str],
    thresholds: Mapping[str, Any],
    register: Mapping[str, Any],
    code: str,
    output: str,
) -> int:
    """Compare today's data and graph with a version's reference; how many things drifted.

    Args:
        version: number or alias.
        data: data-set folder of today.
        graph: the graph store made from it.
        digests: of both, as the pipeline passed them.
        thresholds: the section ``monitor`` of params.yaml.
        register: the section of params.yaml; it names the model.
        code: digest of this module's source files; empty: not checked.
        output: folder to make.

    Raises:
        UserError: as :func:`counterpoint.stages.monitor.monitor`; no tracking server is set, or
            the parameters name one.
    """
    check_code("lifecycle", code)
    check_digests({"data": Path(data), "graph": Path(graph)}, digests)
    settings = DriftSettings.model_validate(thresholds)
    tracking, model = _registry(register, output)
    drift = compared(tracking, model, version, Path(data), Path(graph), Path(output), settings)
    for name in drift.drifted:
        print(f"drifted: {name}", flush=True)
    return len(drift.drifted)


def _registry(register: Mapping[str, Any], output: str) -> tuple[Tracking, str]:
    """The environment's tracking server and the name of the model.

    Without a server there is no model; :func:`connect` would make an empty store.
    """
    settings = RegisterParams.model_validate(register)
    check_server(settings)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise UserError("MLFLOW_TRACKING_URI is not set: the server that has the model")
    return connect(Path(output).parent, uri), settings.model
