"""Score a table with a registered version, and compare today's data with what it was trained on.

The table of rows to score comes from outside, by its URI: `dsl.importer` makes an artefact of it.
On a cluster that is an object of a store that Kubeflow Pipelines may read (s3://, gs://, minio://);
KFP's local runner takes the whole path of a file, below the root folder if steps are containers.
"""

from kfp import dsl

from components.monitor.component import monitor as monitor_component
from components.score.component import score as score_component
from pipelines.wiring import TODAY, given, of_registered_model, on_exit, wire


@dsl.pipeline(
    name="counterpoint-score-and-monitor",
    description="Scores of a table by a registered version; drift of today's data against it.",
)
def score_and_monitor(
    data: dict,
    rows: str,
    task: str,
    version: str = "champion",
    unknown: str = "refuse",
    build: dict = {},  # noqa: B006  # kfp reads defaults as values
    monitor: dict = {},  # noqa: B006
    register: dict = {},  # noqa: B006
    ingest_code: str = "",
    validate_code: str = "",
    build_graph_code: str = "",
    lifecycle_code: str = "",
) -> None:
    """``rows``: URI of a parquet file with src and dst, or id; ``version``: number or alias."""
    params = dict(locals())
    asked = {"version": version, "register": register, "code": lifecycle_code}
    with dsl.ExitHandler(on_exit(register), name="job"):
        artifacts = wire(TODAY, params)
        drift = monitor_component(**given(artifacts, "data", "graph"), monitor=monitor, **asked)
        of_registered_model(drift, "monitor")
        table = dsl.importer(artifact_uri=rows, artifact_class=dsl.Artifact)
        table.set_display_name("rows")
        scores = score_component(rows=table.output, task=task, unknown=unknown, **asked)
        of_registered_model(scores, "score")
