"""What a stage imports from outside, read off its source files."""

import ast
import sys

from counterpoint.stages.sources import source_files


def third_party_modules(stage_name: str) -> set[str]:
    """Dotted names that the stage's files import, wherever in them; type checking's too."""
    found = set()
    for path in source_files(stage_name):
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
    ours = {"counterpoint", *sys.stdlib_module_names}
    return {name for name in found if name.split(".")[0] not in ours}
