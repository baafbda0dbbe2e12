"""The tiny job in the real images; `make test-containers` builds them and calls this file."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from counterpoint.files import read_json, sha256_of_file
from counterpoint.stages.sources import PACKAGE, source_files
from counterpoint.stages.table import STAGES
from tests.components.imports import third_party_modules
from tests.end_to_end.conftest import ROOT, TINY, run

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(
        "COUNTERPOINT_TEST_CONTAINERS" not in os.environ,
        reason="make test-containers builds the images and runs this",
    ),
]
# not as root, nothing writable but /tmp, no network, no right beyond a process's own
CONFINED = (
    "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--user", "65532:65532",
    "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
)  # fmt: skip


def docker(*arguments: str) -> str:
    program = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def image_of_stage() -> dict[str, str]:
    """Stage to image, as the compiled pipeline has them."""
    compiled = (ROOT / "pipelines" / "train_and_register.yaml").read_text()
    executors = next(yaml.safe_load_all(compiled))["deploymentSpec"]["executors"]
    return {
        name.removeprefix("exec-").replace("-", "_"): executor["container"]["image"]
        for name, executor in executors.items()
    }


IMAGES = sorted(set(image_of_stage().values()))


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_names_itself_and_starts_nothing_as_root(image: str) -> None:
    config = json.loads(docker("image", "inspect", image))[0]["Config"]
    assert config["User"] == "65532:65532"
    assert not config["Entrypoint"]
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert labels >= {"title", "description", "licenses", "version", "revision", "base.name"}
    assert not [value for value in config["Env"] if "index" in value.lower()]


@pytest.mark.parametrize("image", IMAGES)
def test_no_secret_of_the_build_is_in_an_image(image: str) -> None:
    find = ("find", "/", "-xdev", "(", "-name", "pip.conf", "-o", "-name", "*.whl", ")")
    found = docker("run", "--rm", "--network", "none", "--user", "0", image, *find).split()
    # Debian's own pip keeps wheels for new environments
    assert not [path for path in found if not path.startswith("/usr/share/python-wheels/")]


# modules that components call, and their images: the stages, and what is no stage
CALLED = {stage.name: image_of_stage()[stage.name] for stage in STAGES} | dict.fromkeys(
    ("lifecycle", "chosen", "failure"), image_of_stage()["train"]
)


@pytest.mark.parametrize("called", CALLED)
def test_an_image_has_what_its_components_import(called: str) -> None:
    """All that the source files import, also inside functions; without network, read-only."""
    ours = [
        ".".join(("counterpoint", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in source_files(called)
        if path.suffix == ".py" and path.stem != "__init__"
    ]
    theirs = sorted(third_party_modules(called))
    code = f"from importlib import import_module\nfor n in {theirs + ours}: import_module(n)"
    docker("run", *CONFINED, CALLED[called], "python3", "-c", code)


def test_the_data_image_has_no_torch() -> None:
    code = "from importlib.util import find_spec as f; assert not any(map(f, ['torch', 'mlflow']))"
    docker("run", *CONFINED, image_of_stage()["validate"], "python3", "-c", code)


@pytest.mark.skipif("os.getuid() != 0", reason="only root can give files to the images' user")
def test_the_data_image_fetches_a_revision(tmp_path: Path) -> None:
    """By the DVC that only the image has, as the images' user, with a read-only root."""
    repo, out = tmp_path / "repo", tmp_path / "out"
    for folder in (repo, out):
        folder.mkdir()
    git = ("git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    run(*git, "init", "--quiet", cwd=repo)
    run("dvc", "init", "--quiet", cwd=repo)
    run("dvc", "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"), cwd=repo)
    run("counterpoint", "data", "plant", "tiny", "--to", "market", cwd=repo)
    said = run("counterpoint", "data", "add", "market", cwd=repo).stdout
    digest = said.split("digest: ")[1].strip()
    run(*git, "add", "--all", cwd=repo)
    run(*git, "commit", "--quiet", "--message", "data", cwd=repo)
    rev = run(*git, "rev-parse", "HEAD", cwd=repo).stdout.strip()
    run("dvc", "push", "--quiet", cwd=repo)
    for path in (tmp_path, *tmp_path.rglob("*")):  # git refuses the repository of another user
        os.chown(path, 65532, 65532)

    data = {"source": "dvc", "repo": str(repo), "rev": rev, "path": "market", "digest": digest}
    given = {"code": "", "inputs": {}, "output": f"{out}/data", "sections": {"data": data}}
    code = (
        "from counterpoint.stages.component import run_component\n"
        f"print(run_component('ingest', **{given}))"
    )
    mounted = (*CONFINED, "--volume", f"{tmp_path}:{tmp_path}")
    assert digest in docker("run", *mounted, image_of_stage()["ingest"], "python3", "-c", code)


@pytest.fixture(scope="module")
def shell(checkout: Path) -> Path:
    """Artefacts of `counterpoint run` in this environment."""
    run("counterpoint", "run", "--params", "params.yaml", "--work", "shell", cwd=checkout)
    return checkout / "shell"


@pytest.fixture(scope="module")
def contained(checkout: Path) -> Iterator[Path]:
    """Artefacts of the same job by kfp.local's DockerRunner."""
    root = checkout / "docker"
    for folder in (checkout, *checkout.parents[:2]):
        folder.chmod(0o755)  # pytest's are its user's alone; the containers' user is another
    options = ("--local", "--docker", "--root", str(root))
    by_docker = ("counterpoint", "pipeline", "run", *options)
    done = run(*by_docker, "--set", "promote=none", cwd=checkout)
    print(done.stdout, done.stderr)
    rows = only(root, "data_out") / "tasks" / "click.parquet"
    told = ("--set", "task=click", "--set", f"rows={rows}")
    done = run(*by_docker, "--pipeline", "score_and_monitor", *told, cwd=checkout)
    print(done.stdout, done.stderr)
    yield root
    shutil.rmtree(root)


def only(root: Path, pattern: str) -> Path:
    found = list(root.rglob(pattern))
    assert len(found) == 1, found
    return found[0]


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_containers_train_the_same_bytes(shell: Path, contained: Path) -> None:
    theirs = {
        "-".join(str(part) for part in read_json(path)["cell"].values() if part): path.parent
        for path in contained.rglob("run_out/config.json")
    }
    assert set(theirs) == set(TINY["grid"])
    for cell in TINY["grid"]:
        ours = files(shell / "runs" / cell)
        assert [name for name in ours if name.endswith(".safetensors")]
        assert files(theirs[cell]) == ours


@pytest.mark.parametrize("artifact", ["data", "validation", "graph", "pretrained"])
def test_containers_prepare_the_same_bytes(shell: Path, contained: Path, artifact: str) -> None:
    found = [files(path) for path in contained.rglob(f"{artifact}_out")]
    # the second pipeline validates again, and the local cache tells what it made by its place
    assert len(found) == (2 if artifact in ("validation", "graph") else 1)
    assert all(theirs == files(shell / artifact) for theirs in found)


def test_containers_judge_and_register_the_same(shell: Path, contained: Path) -> None:
    metrics = only(contained, "evaluation_out/metrics.json")
    assert metrics.read_bytes() == (shell / "evaluation" / "metrics.json").read_bytes()
    ours, theirs = (
        read_json(path)["versions"]
        for path in (shell / "registration" / "receipt.json", only(contained, "receipt.json"))
    )
    for name in ("cell", "verdict", "model_digest", "bundle_digest"):
        assert [version[name] for version in ours] == [version[name] for version in theirs]


def test_containers_promote_score_and_monitor(shell: Path, contained: Path) -> None:
    move = read_json(only(contained, "promotion_out/move.json"))
    assert (move["version"], move["before"]) == (1, None)
    scores = only(contained, "scores_out/scores.parquet")
    rows = shell / "data" / "tasks" / "click.parquet"
    command = ("score", "1", "--task", "click", "--from", str(rows), "--to", "scores")
    run("counterpoint", *command, "--work", str(shell), cwd=shell)
    assert scores.read_bytes() == (shell / "scores" / "scores.parquet").read_bytes()
    assert read_json(only(contained, "drift_out/drift.json"))["drifted"] == []


def test_nothing_was_made_as_root(contained: Path) -> None:
    names = {"run_out", "promotion_out", "scores_out", "drift_out"}
    names |= {f"{stage.output}_out" for stage in STAGES}
    outputs = [path for path in contained.rglob("*_out") if path.name in names]
    # train a cell; promotion, scores, drift, and before them a second validation and graph
    assert len(outputs) == len(STAGES) - 1 + len(TINY["grid"]) + 5
    assert {path.stat().st_uid for path in outputs} == {os.getuid() or 65532}
