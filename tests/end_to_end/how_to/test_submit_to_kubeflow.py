import json
from pathlib import Path

from tests.end_to_end.conftest import copy_checkout
from tests.end_to_end.how_to.pages import follow, script
from tests.stages.cluster import Cluster, serving

ADDRESS = "https://kubeflow.example.org/pipeline"
RUN = "3f2a7c61-5d0e-4b8f-9a46-0c1d2e3f4a5b"


def test_the_pipelines_run_here_and_go_to_a_cluster(tmp_path: Path) -> None:
    folder, home = tmp_path / "checkout", tmp_path / "home"
    folder.mkdir()
    copy_checkout(folder)
    commands, cluster = script("docs/how-to/submit-to-kubeflow.md"), Cluster(RUN)
    assert ADDRESS in commands
    with serving(cluster) as address:
        # kfp keeps a context file at home
        said = follow(
            commands.replace(ADDRESS, address), folder, "secret-token\n", {"HOME": str(home)}
        )
    assert "shared_bottom-gcn-fixed" in said
    assert f"run {RUN} is submitted" in said
    assert f"{RUN}: RUNNING" in said
    assert {auth for *_, auth, _ in cluster.requests} == {"Bearer secret-token"}
    made = [(path, body) for method, path, _, body in cluster.requests if method == "POST"]
    names = [
        body["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"]
        for path, body in made
        if path.endswith(("/runs", "/recurringruns"))
    ]
    main, watch = "counterpoint-train-and-register", "counterpoint-score-and-monitor"
    assert names == [main, main, main, main, "counterpoint-promote", watch]
    asks_for_gpus = ["nvidia.com/gpu" in json.dumps(body) for _, body in made]
    assert asks_for_gpus.count(True) == 1
    crons = [body["trigger"]["cron_schedule"]["cron"] for _, body in made if "trigger" in body]
    assert crons == ["0 0 3 * * *", "0 0 6 * * *"]
