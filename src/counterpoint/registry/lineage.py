"""Where a result comes from: commit, dvc.lock, the digests of what went in."""

import os
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from counterpoint.data.schema import read_yaml
from counterpoint.files import json_text, sha256_of_text, verified_digest

# a cluster has no checkout to ask: our images set the first, pipelines/cluster.py the next two
COMMIT = "COUNTERPOINT_GIT_COMMIT"
ENVIRONMENT = {
    COMMIT: "git_commit",
    "COUNTERPOINT_IMAGE_DIGEST": "image_digest",
    "KFP_RUN_ID": "kfp_run_id",
    "MLFLOW_RUN_ID": "enclosing_run_id",
    "DVC_EXP_BASELINE_REV": "dvc_revision",
    "DVC_EXP_NAME": "dvc_experiment",
}


def collect(
    checkout: Path, inputs: Mapping[str, Path], stages: Collection[str] = ()
) -> dict[str, str]:
    """Lineage tags of a run.

    Args:
        checkout: the repository; it need not be one.
        inputs: name → artefact folder; becomes ``<name>_digest`` (``data``, ``graph``, ...).
        stages: the stages whose entries in dvc.lock count. Those that come later are not written
            yet, and would make the digest of the file a different one afterwards.

    Raises:
        UserError: an input is not what its manifest says.
    """
    lineage = {tag: os.environ[name] for name, tag in ENVIRONMENT.items() if os.environ.get(name)}
    if COMMIT not in os.environ:  # KFP's subprocess runner: told of an image, but in none
        lineage.pop("image_digest", None)
    if os.environ.get(COMMIT) == "unknown":  # an image that was built without saying
        del lineage["git_commit"]
    lineage |= git_state(checkout)
    # DVC says so to the commands of its stages: another run may use the folder of its last one
    if "DVC_STAGE" in os.environ and (
        lock := dvc_lock_digest(checkout / "dvc.lock", stages, inputs.values())
    ):
        lineage["dvc_lock_digest"] = lock
    return lineage | {f"{name}_digest": verified_digest(path) for name, path in inputs.items()}


def git_state(checkout: Path) -> dict[str, str]:
    """Commit, and whether tracked files differ from it; empty where there is no repository.

    dvc.lock does not count: under ``dvc repro`` it always differs.
    """
    commit = _git(checkout, "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _git(
        checkout, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock"
    )
    return {"git_commit": commit, "git_dirty": "true" if changes else "false"}


def commit_is_known(checkout: Path, commit: str) -> bool:
    """Whether the repository around ``checkout`` has the commit."""
    return _git(checkout, "cat-file", "-t", commit) == "commit"


def dvc_lock_digest(lock: Path, stages: Collection[str], folders: Iterable[Path]) -> str | None:
    """SHA-256 of the entries of ``stages`` in dvc.lock, matrix items included.

    None without any, or if they did not make all ``folders``: a checkout in which `dvc repro` was
    run is also one from which other runs start.
    """
    if not lock.is_file():
        return None
    entries = read_yaml(lock).get("stages", {})
    chosen = {name: entry for name, entry in entries.items() if name.split("@")[0] in stages}
    made = {
        (lock.parent / out["path"]).resolve()
        for entry in chosen.values()
        for out in entry.get("outs", [])
    }
    if not chosen or not made.issuperset(folder.resolve() for folder in folders):
        return None
    return sha256_of_text(json_text(chosen))


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git on this machine
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
