"""The source files that a stage's result depends on: all that its module imports, followed."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import counterpoint
from counterpoint.files import sha256_of_file, sha256_of_text

PACKAGE = Path(counterpoint.__file__).parent


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Dotted names that a file imports from the package, wherever in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("counterpoint"):
            module = str(node.module)
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _file_of(name: str) -> Path | None:
    """The module's file; None where the name is no module but something in one."""
    place = PACKAGE.joinpath(*name.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _with_packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(1, len(parts)))


@cache
def source_files(stage_name: str) -> tuple[Path, ...]:
    """All files of the package that the stage's module imports, and the templates beside them."""
    todo = [PACKAGE / "stages" / f"{stage_name}.py"]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imports(path):
            todo += [file for part in _with_packages(name) if (file := _file_of(part))]
    templates = {template for path in found for template in path.parent.glob("*.j2")}
    return tuple(sorted(found | templates))


@cache
def code_digest(stage_name: str) -> str:
    """SHA-256 over the stage's source files."""
    return sha256_of_text("".join(sha256_of_file(path) for path in source_files(stage_name)))
