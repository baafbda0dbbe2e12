from pathlib import Path
from typing import Any

import pytest
import yaml

from counterpoint.data.schema import DataSchema, read_schema, schema_text
from counterpoint.errors import UserError


def good() -> dict[str, Any]:
    return {
        "name": "shop",
        "node_types": {"user": {"features": [{"name": "age", "kind": "numeric"}]}, "item": {}},
        "relations": {
            "clicked": {"from_task": "click"},
            "likes": {"src": "user", "dst": "item"},
        },
        "tasks": {
            "click": {"kind": "binary", "entity": ["user", "item"]},
            "buy": {"kind": "binary", "entity": ["user", "item"], "parent": "click"},
            "area": {"kind": "multiclass", "entity": "item", "classes": 3, "role": "auxiliary"},
        },
    }


def written(tmp_path: Path, values: Any) -> Path:
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def test_a_schema_survives_its_text(tmp_path: Path) -> None:
    schema = DataSchema.model_validate(good())
    (tmp_path / "dataset.yaml").write_text(schema_text(schema))
    assert read_schema(tmp_path) == schema
    assert list(schema.targets) == ["click", "buy"]
    assert schema.ends("clicked") == schema.ends("likes") == ("user", "item")
    assert schema.tasks["click"].metric == "auc"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("relations", "likes", "src"), "usr", "unknown node type 'usr'"),
        (("relations", "clicked", "from_task"), "view", "unknown task 'view'"),
        (("relations", "clicked", "src"), "user", "either src and dst, or from_task"),
        (("relations", "clicked", "from_task"), "area", "no binary or link task"),
        (("tasks", "buy", "parent"), "sell", "unknown parent 'sell'"),
        (("tasks", "buy", "parent"), "buy", "two tasks on one entity"),
        (("tasks", "click", "entity"), ["user", "shop"], "unknown node type 'shop'"),
        (("tasks", "click", "kind"), "link", None),
        (("tasks", "area", "kind"), "link", "takes no classes"),
        (("tasks", "area", "entity"), ["user", "item"], "scores one node type"),
        (("tasks", "area", "classes"), None, "needs classes"),
        (("tasks", "click", "classes"), 2, "takes no classes"),
        (("tasks", "click", "margin"), 0, "greater than 0"),
        (("tasks", "click", "colour"), "red", "Extra inputs"),
        (("node_types", "user", "features"), [{"name": "x", "kind": "bag"}], "needs a size"),
        (("split",), {"valid": 0.5, "test": 0.5}, "below 1"),
        (("version",), 7, "version 7"),
        (("name",), "../x", "is not a name"),
    ],
)
def test_each_fault_is_a_line_that_names_file_and_place(
    tmp_path: Path, path: tuple[str, ...], value: Any, message: str | None
) -> None:
    values = good()
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    folder = written(tmp_path, values)
    if message is None:
        read_schema(folder)
        return
    with pytest.raises(UserError, match=message) as raised:
        read_schema(folder)
    assert all("dataset.yaml" in line and "\n" not in line for line in raised.value.faults)


@pytest.mark.parametrize("text", ["[1", "- a list", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(UserError, match=r"dataset\.yaml"):
        read_schema(tmp_path)
