from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint.data.checks import faults
from counterpoint.data.folder import DataFolder, open_folder
from counterpoint.data.part import Share, write_part
from counterpoint.data.splits import assigned_rows
from counterpoint.errors import UserError


def rows(folder: DataFolder, table: str) -> pl.DataFrame:
    return folder.scan(table).collect()


def ids(folder: DataFolder, node_type: str) -> set[Any]:
    return set(rows(folder, f"nodes/{node_type}")["id"])


def test_a_share_of_the_users_and_rows_of_no_other(market: Any, tmp_path: Path) -> None:
    whole = market.write(tmp_path / "whole")
    part = write_part(whole, tmp_path / "part", share=Share("user", 0.3))
    users = list(ids(part, "user"))
    assert 5 < len(users) < 20
    for table, columns in {
        "nodes/user": ["id"],
        "tasks/click": ["src"],
        "tasks/buy": ["src"],
        "tasks/visit": ["src"],
        "tasks/spend": ["id"],
        "relations/follows": ["src", "dst"],
    }.items():
        there = rows(whole, table)
        for column in columns:
            there = there.filter(pl.col(column).is_in(users))
        assert 0 < len(there) < len(rows(whole, table))
        assert rows(part, table).equals(there)
    for table in ("nodes/item", "tasks/topic", "tasks/tags", "relations/similar"):
        assert rows(part, table).equals(rows(whole, table))


def test_the_same_nodes_again_and_others_by_another_seed(market: Any, tmp_path: Path) -> None:
    whole = market.write(tmp_path / "whole")
    of_seed = [
        ids(write_part(whole, tmp_path / f"{k}", share=Share("user", 0.5, seed)), "user")
        for k, seed in enumerate((0, 0, 1))
    ]
    assert of_seed[0] == of_seed[1] != of_seed[2]
    market.tables["tasks/click"] = market.tables["tasks/click"].with_columns(label=pl.lit(1))
    other = write_part(market.write(tmp_path / "labels"), tmp_path / "p", share=Share("user", 0.5))
    assert ids(other, "user") == of_seed[0]


@pytest.mark.parametrize("by", ["random", "leave_last_out"])
def test_rows_are_split_as_in_the_whole(market: Any, tmp_path: Path, by: str) -> None:
    market.rewrite(split={"by": by, "seed": 3})
    for task in ("spend", "topic", "tags"):
        market.change(f"tasks/{task}", time=pl.lit(datetime(2024, 1, 1)))
    whole = market.write(tmp_path / "whole")
    part = write_part(whole, tmp_path / "part", share=Share("user", 0.5))
    was = assigned_rows(whole, "click").collect()
    now = assigned_rows(part, "click").collect()
    both = now.join(was, on=["src", "dst"], suffix="_whole")
    assert len(both) == len(now) > 100
    assert both["split"].to_list() == both["split_whole"].to_list()
    assert set(both["split"]) == {"train", "valid", "test"}


def test_tasks_that_stay_have_their_roles_and_take_no_relation_of_others(
    market: Any, tmp_path: Path
) -> None:
    market.rewrite(
        expectations=[
            {"table": "tasks/click", "type": "expect_column_to_exist"},
            {"table": "tasks/buy", "type": "expect_column_to_exist"},
        ]
    )
    whole = market.write(tmp_path / "whole")
    part = write_part(whole, tmp_path / "part", {"buy": "target", "visit": "auxiliary"})
    found = open_folder(part.path).schema
    assert {name: task.role for name, task in found.tasks.items()} == {
        "buy": "target",
        "visit": "auxiliary",
    }
    assert found.tasks["buy"].parent is None  # its click went
    assert set(found.relations) == {"follows", "similar"}
    assert [rule.table for rule in found.expectations] == ["tasks/buy"]
    assert rows(part, "tasks/buy").equals(rows(whole, "tasks/buy"))
    assert ids(part, "item") == ids(whole, "item")


def test_a_part_is_sound(market: Any, tmp_path: Path) -> None:
    whole = market.write(tmp_path / "whole")
    part = write_part(whole, tmp_path / "part", {"click": "target"}, Share("user", 0.8))
    assert faults(part) == []


def test_what_cannot_be_is_said_and_nothing_is_made(market: Any, tmp_path: Path) -> None:
    whole = market.write(tmp_path / "whole")
    target = tmp_path / "part"
    for said, arguments in {
        "no task bought; there are click": {"roles": {"bought": "target"}},
        "no task has role target": {"roles": {"click": "auxiliary"}},
        "no node type 'shop'; there are user, item": {"share": Share("shop", 0.5)},
        "share 20.0: give a number between 0 and 1": {"share": Share("user", 20.0)},
    }.items():
        with pytest.raises(UserError, match=said):
            write_part(whole, target, **arguments)
        assert not target.exists()
    with pytest.raises(UserError, match="is the whole itself"):
        write_part(whole, tmp_path / "." / "whole", share=Share("user", 0.5))
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="exists and is no data-set folder"):
        write_part(whole, tmp_path / "mine")
