"""Renders each component's README.md from its code; `make golden` calls it."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def component_names() -> list[str]:
    """Folders that hold a component."""
    return sorted(path.parent.name for path in HERE.glob("*/component.py"))


def component_named(name: str) -> Any:
    """The component of a folder."""
    return getattr(import_module(f"components.{name}.component"), name)


def readme(name: str) -> str:
    """Text of a component's README: what it does, its image, what goes in and comes out."""
    component = component_named(name)
    module = inspect.getmodule(component.python_func)
    spec = component.component_spec
    image = spec.implementation.container.image.split("/")[-1].split(":")[0].split("@")[0]
    said = (inspect.getdoc(module) or "").strip()
    returned = (inspect.getdoc(component.python_func) or "").strip()
    lines = [
        f"# {name}",
        "",
        "Rendered by `make golden` from component.py; do not edit.",
        "",
        said,
        returned,
        "",
        f"Image: `{image}`. On a cluster it is pinned by digest when the pipeline is compiled.",
        "",
        "| | name | type |",
        "|---|---|---|",
    ]
    for way, places in (("in", spec.inputs), ("out", spec.outputs)):
        for place, described in (places or {}).items():
            kind = described.type.split("@")[0].split(".")[-1]
            many = "list of " if getattr(described, "is_artifact_list", False) else ""
            label = "returned" if place == "Output" else f"`{place}`"
            lines.append(f"| {way} | {label} | {many}{kind} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for each in component_names():
        (HERE / each / "README.md").write_text(readme(each), encoding="utf-8")
