"""What goes into the images against what their stages import, without building them."""

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from components import DATA_IMAGE
from counterpoint.stages.table import STAGES
from tests.components.imports import third_party_modules
from tests.end_to_end.test_containers import image_of_stage

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "components" / "images"
LOCKS = ("data", "train", "kfp", "build")
# import name to what is asked for, where the two are not the same distribution
ASKED_AS = {
    "pydantic_core": {"pydantic"},  # its core, which it pins
    "mlflow": {"mlflow-skinny"},  # the client alone
    "dgl": {"dgl", "packaging"},  # dgl imports packaging and forgets to say so
}


def asked_for(name: str) -> set[str]:
    lines = (IMAGES / f"{name}.in").read_text().splitlines()
    return {re.match(r"[a-z0-9-]*", line)[0] for line in lines if line[0] != "#"}  # type: ignore[index]


def locked(path: Path) -> dict[str, str]:
    """Distribution to its version and hashes, as text."""
    entries = re.split(r"\n(?=[a-z0-9])", path.read_text())
    return {entry.split("==")[0]: entry.strip().split(" ", 1)[-1] for entry in entries}


@pytest.mark.parametrize("image", ["data", "train"])
def test_an_image_asks_for_what_its_stages_import_and_no_more(image: str) -> None:
    stages = [
        stage.name
        for stage in STAGES
        if (image_of_stage()[stage.name] == DATA_IMAGE) == (image == "data")
    ]
    if image == "train":
        stages += ["lifecycle", "chosen", "failure"]  # of components that are no stages
    names = {module.split(".")[0] for name in stages for module in third_party_modules(name)}
    distributions = packages_distributions()
    wanted: set[str] = set()
    for name in names:
        found = {dist.lower().replace("_", "-") for dist in distributions[name]}
        wanted |= ASKED_AS.get(name, found)
    assert asked_for(image) == wanted


@pytest.mark.parametrize("name", LOCKS)
def test_an_images_lock_is_a_part_of_the_lock(name: str) -> None:
    whole, part = locked(ROOT / "requirements.lock"), locked(IMAGES / f"{name}.lock")
    for distribution, pin in part.items():
        assert "--hash=sha256:" in pin
        assert set(pin.split()) <= set(whole[distribution].split()), distribution
