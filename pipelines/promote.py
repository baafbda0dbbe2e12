"""Make a registered version champion, judged against the champion on today's test set."""

from kfp import dsl

from pipelines.wiring import TODAY, on_exit, promotion, wire


@dsl.pipeline(
    name="counterpoint-promote",
    description="A registered version becomes champion, if it is not worse on today's test set.",
)
def promote(
    data: dict,
    version: str,
    expect_champion: str,
    build: dict = {},  # noqa: B006  # kfp reads defaults as values
    register: dict = {},  # noqa: B006
    ingest_code: str = "",
    validate_code: str = "",
    build_graph_code: str = "",
    lifecycle_code: str = "",
) -> None:
    """``version``: number or alias; ``expect_champion``: number of the champion, or none."""
    params = dict(locals())
    with dsl.ExitHandler(on_exit(register), name="job"):
        promotion(wire(TODAY, params), version, expect_champion, params)
