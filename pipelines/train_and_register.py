"""The main job as a KFP pipeline, built from the table of stages."""

from typing import Any

from kfp import dsl

from counterpoint.stages.table import STAGES
from pipelines.wiring import Artifacts, on_exit, promotion, wire


def _promote_if_asked(artifacts: Artifacts, params: dict[str, Any]) -> None:
    """Let the chosen candidate be champion if a champion is named and the verdict is promote.

    In this order: KFP 2.17's local runner finds an output that has a name only among the inputs of
    a block, and one that it does not find counts as false.
    """
    (evaluate, _), (register, _) = artifacts["evaluation"], artifacts["registration"]
    expected = params["promote"]
    with (
        dsl.If(expected != "", name="asked"),
        dsl.If(evaluate.outputs["decision"] == "promote", name="verdict"),
    ):
        promotion(artifacts, register.outputs["version"], expected, params)


def train_and_register(gpus: int = 0, workers: int = 1) -> Any:
    """The pipeline, with so many accelerators for each task that trains, and workers a cell."""

    @dsl.pipeline(
        name="counterpoint-train-and-register",
        description="Tables to a gated, registered multi-task model; no task pays for another.",
    )
    def pipeline(
        data: dict,
        grid: list,
        seeds: list,
        train: dict,
        build: dict = {},  # noqa: B006  # kfp reads defaults as values
        pretrain: dict = {},  # noqa: B006
        overrides: dict = {},  # noqa: B006
        evaluate: dict = {},  # noqa: B006
        register: dict = {},  # noqa: B006
        # the version that is champion now, or none; empty: nobody is promoted
        promote: str = "",
        # of the source files of each stage, so that a cache sees them; empty: not checked
        ingest_code: str = "",
        validate_code: str = "",
        build_graph_code: str = "",
        pretrain_code: str = "",
        train_code: str = "",
        evaluate_code: str = "",
        register_code: str = "",
        lifecycle_code: str = "",
    ) -> None:
        params = dict(locals())  # the arguments; nothing else has a name yet
        with dsl.ExitHandler(on_exit(register), name="job"):
            _promote_if_asked(wire(STAGES, params, gpus, workers), params)

    return pipeline
