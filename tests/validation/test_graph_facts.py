"""Each planted fault is caught by the fact that names it, and by no expectation by accident."""

from datetime import timedelta

import polars as pl
import pytest

from counterpoint.data.schema import Split
from counterpoint.errors import UserError
from counterpoint.validation.graph_facts import graph_facts
from counterpoint.validation.split_facts import _drifts


def _put(table, column, value, row=3):
    return lambda market: market.put(table, column, row, value)


def _set(table, **columns):
    return lambda market: market.change(table, **columns)


def _repeat(table):
    def change(market):
        rows = market.tables[table]
        market.tables[table] = pl.concat([rows, rows.head(2)])

    return change


def _one_entity_in_two_splits(market):
    rows = market.tables["tasks/click"]
    again = rows.head(1).with_columns(split=pl.lit("test"))
    market.tables["tasks/click"] = pl.concat([rows, again])


def _held_out_purchase_is_a_training_click(market):
    market.put("tasks/buy", "split", 0, "test")


def _same_but_allowed(market):
    market.rewrite(cross_task="allow")
    _held_out_purchase_is_a_training_click(market)


def _lonely_user(market):
    node = market.tables["nodes/user"].tail(1).with_columns(id=pl.lit("u99"))
    market.tables["nodes/user"] = pl.concat([market.tables["nodes/user"], node])
    row = market.tables["tasks/spend"].tail(1).with_columns(id=pl.lit("u99"))
    market.tables["tasks/spend"] = pl.concat([market.tables["tasks/spend"], row])


def _hub(market):
    rows = pl.DataFrame({"src": ["u00"] * 300, "dst": ["u05"] * 300, "weight": [1.0] * 300})
    market.tables["relations/follows"] = pl.concat([market.tables["relations/follows"], rows])


def _more_positives_in_test(market):
    more = pl.max_horizontal("label", (pl.col("dst") < 20).cast(pl.Int64))
    market.change(
        "tasks/click", label=pl.when(pl.col("split") == "test").then(more).otherwise("label")
    )


def _without(table):
    return lambda market: market.tables.pop(table)


def _brought(market):
    market.tables["relations/clicked"] = market.tables["relations/similar"]


PLANTED = {
    "null label": (_put("tasks/click", "label", None), "null:tasks/click.label", 1),
    "null feature": (_put("nodes/user", "age", None), "null:nodes/user.age", 1),
    "infinite": (_put("nodes/user", "age", float("inf")), "non_finite:nodes/user.age", 1),
    "vector NaN": (
        _put("nodes/item", "looks", [0.0, float("nan"), 0.0]),
        "non_finite:nodes/item.looks",
        1,
    ),
    "vector length": (_put("nodes/item", "looks", [0.0]), "vector_length:nodes/item.looks", 1),
    "token": (_put("nodes/item", "words", [11]), "token_range:nodes/item.words", 1),
    "binary label": (_put("tasks/buy", "label", 3), "label_domain:tasks/buy.label", 1),
    "class": (_put("tasks/topic", "label", 3), "label_domain:tasks/topic.label", 1),
    "multilabel": (_put("tasks/tags", "label", [-1]), "label_domain:tasks/tags.label", 1),
    "regression": (
        _put("tasks/spend", "label", float("inf")),
        "label_domain:tasks/spend.label",
        1,
    ),
    "split value": (_put("tasks/click", "split", "dev"), "split_value:tasks/click.split", 1),
    "dangling edge": (_put("relations/follows", "dst", "zz"), "dangling:relations/follows.dst", 1),
    "dangling entity": (_put("tasks/click", "src", "zz"), "dangling:tasks/click.src", 1),
    "duplicate node": (_put("nodes/user", "id", "u07"), "duplicate_node:nodes/user.id", 1),
    "duplicate entity": (_repeat("tasks/spend"), "duplicate_entity:tasks/spend", 2),
    "duplicate edge": (_repeat("relations/similar"), "duplicate_edge:relations/similar", 2),
    "self loop": (_put("relations/follows", "dst", "u03"), "self_loop:relations/follows", 1),
    "empty split": (
        _set("tasks/visit", split=pl.lit("train")),
        "empty_split:tasks/visit",
        2,
    ),
    "one class": (_set("tasks/click", label=pl.lit(1)), "one_class:tasks/click", 3),
    "drift": (_more_positives_in_test, "rate_drift:tasks/click", 1),
    "funnel": (_put("tasks/buy", "label", 1, row=10), "funnel:tasks/buy", 1),
    "time order": (
        lambda market: market.put(
            "tasks/click", "time", 0, market.tables["tasks/click"]["time"][599]
        ),
        "time_order:tasks/click",
        1,
    ),
    "split overlap": (_one_entity_in_two_splits, "split_overlap:tasks/click", 1),
    "cross-task overlap": (
        _held_out_purchase_is_a_training_click,
        "cross_task_overlap:tasks/click",
        1,
    ),
    "allowed overlap": (_same_but_allowed, "cross_task_overlap:tasks/click", 1),
    "isolated seed": (_lonely_user, "isolated_seed:tasks/spend.id", 1),
    "hub": (_hub, "degree_tail:relations/follows.src", 1),
    "missing table": (_without("tasks/tags"), "structure:tasks/tags", 1),
    "brought relation": (_brought, "stray_file:folder", 1),
}
WARNING = {"duplicate edge", "self loop", "drift", "time order", "allowed overlap", "isolated seed"}
INFO = {"cross-task overlap", "hub"}


@pytest.fixture(scope="module")
def sound(make_market, tmp_path_factory):
    folder = make_market().write(tmp_path_factory.mktemp("sound"))
    return {fact.name: fact for fact in graph_facts(folder, tmp_path_factory.mktemp("rows"))}


def _facts(market, tmp_path):
    folder = market.write(tmp_path / "data")
    (tmp_path / "rows").mkdir()
    return {fact.name: fact for fact in graph_facts(folder, tmp_path / "rows")}


def test_sound_data_break_no_fact(sound):
    assert {name for name, fact in sound.items() if fact.violations} == set()
    assert all(fact.total > 0 for fact in sound.values())


@pytest.mark.parametrize(("case"), PLANTED)
def test_each_fault_is_caught_by_its_fact(market, tmp_path, case):
    change, name, violations = PLANTED[case]
    change(market)
    fact = _facts(market, tmp_path)[f"fact:{name}"]
    assert fact.violations == violations
    assert fact.severity == (
        "warning" if case in WARNING else "info" if case in INFO else "critical"
    )


def test_a_child_of_clicks_alone_is_warned_of(market, tmp_path):
    clicks, buys = market.tables["tasks/click"], market.tables["tasks/buy"]
    keys = ["src", "dst"]
    market.tables["tasks/buy"] = buys.join(clicks.filter(label=1), on=keys, how="semi")
    assert 0 < market.tables["tasks/buy"].height < buys.height
    fact = _facts(market, tmp_path)["fact:funnel_space:tasks/buy"]
    assert fact.violations == fact.total == clicks.filter(label=0).height
    assert fact.severity == "warning"


@pytest.mark.parametrize(
    ("rate", "base", "rows", "drifts"),
    [
        (0.16, 0.1, 10_000, True),
        (0.04, 0.1, 10_000, True),
        (0.14, 0.1, 10_000, False),  # a clear difference, but within the bound
        (0.16, 0.1, 100, False),  # beyond the bound, but chance
        (0.01, 0.0, 100, True),
    ],
)
def test_a_rate_drifts_where_the_difference_is_large_and_no_chance(rate, base, rows, drifts):
    assert _drifts(rate, base, rows) is drifts


def test_other_facts_wait_until_the_tables_are_whole(market, tmp_path):
    market.tables["tasks/click"] = market.tables["tasks/click"].drop("label")
    facts = _facts(market, tmp_path)
    assert {fact.check for fact in facts.values()} == {"structure"}
    assert "no column 'label'" in facts["fact:structure:tasks/click"].detail


def test_a_damaged_table_is_named(market, tmp_path):
    folder = market.write(tmp_path)
    path = folder.table_path("nodes/user")
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"nodes/user\.parquet: not readable to its end"):
        graph_facts(folder, tmp_path)


def _with_times(market, by):
    market.rewrite(split=Split(by=by))
    first = market.tables["tasks/click"]["time"].min()
    for table in ("tasks/spend", "tasks/topic", "tasks/tags"):
        rows = market.tables[table].height
        times = [first + timedelta(days=250 * i / rows) for i in range(rows)]
        market.change(table, time=pl.Series(times, dtype=pl.Datetime("us")))


@pytest.mark.parametrize("by", ["random", "time", "leave_last_out"])
def test_computed_splits_leak_nothing(market, tmp_path, by):
    _with_times(market, by)
    market.change("tasks/buy", time=pl.col("time").reverse())  # held out late, clicked early
    facts = _facts(market, tmp_path)
    broken = {fact.check for fact in facts.values() if fact.violations}
    assert not broken & {"split_overlap", "cross_task_overlap", "time_order", "funnel"}
    assert ("fact:time_order:tasks/click" in facts) == (by == "time")


def test_a_split_by_time_must_follow_time(market, tmp_path, monkeypatch):
    from counterpoint.validation import split_facts

    _with_times(market, "time")
    shuffled = market.tables["tasks/click"].with_columns(split=pl.col("split").shuffle(seed=1))
    real = split_facts.assigned_rows
    monkeypatch.setattr(
        split_facts,
        "assigned_rows",
        lambda folder, name: shuffled.lazy() if name == "click" else real(folder, name),
    )
    fact = _facts(market, tmp_path)["fact:time_order:tasks/click"]
    assert fact.violations > 0
    assert fact.severity == "critical"


def test_null_times_do_not_stop_the_facts(market, tmp_path):
    _with_times(market, "time")
    market.put("tasks/click", "time", 3, None)
    assert _facts(market, tmp_path)["fact:null:tasks/click.time"].violations == 1


def test_positives_of_the_training_split_alone_connect_a_node(market, tmp_path):
    market.rewrite(cross_task="allow", relations={"clicked": {"from_task": "click"}})
    for table in ("relations/follows", "relations/similar"):
        market.tables.pop(table)
    train = (pl.col("src") == "u00") & (pl.col("split") == "train")
    test = (pl.col("src") == "u01") & (pl.col("split") == "test")
    market.change("tasks/click", label=(train | test).cast(pl.Int64))
    fact = _facts(market, tmp_path)["fact:isolated_seed:tasks/click.src"]
    assert (fact.violations, fact.total) == (39, 40)


def test_a_training_row_at_the_time_of_the_first_held_out_is_in_order(market, tmp_path):
    click = market.tables["tasks/click"]
    market.put("tasks/click", "time", 0, click.filter(pl.col("split") != "train")["time"].min())
    assert _facts(market, tmp_path)["fact:time_order:tasks/click"].violations == 0


@pytest.mark.parametrize(("policy", "edges"), [("drop", 0), ("mask", 0), ("allow", 1)])
def test_a_held_out_pair_is_an_edge_only_where_allowed(market, tmp_path, policy, edges):
    market.rewrite(cross_task=policy, relations={"clicked": {"from_task": "click"}})
    for table in ("relations/follows", "relations/similar", "tasks/visit"):
        market.tables.pop(table)
    market.rewrite(tasks={k: t for k, t in market.schema.tasks.items() if k != "visit"})
    train_positive = (pl.col("split") == "train") & (pl.col("src") == "u00")
    market.change("tasks/click", label=train_positive.cast(pl.Int64))
    held = pl.when(pl.col("src") == "u00").then(pl.lit("test")).otherwise(pl.col("split"))
    market.change("tasks/buy", split=held)
    fact = _facts(market, tmp_path)["fact:degree_tail:relations/clicked.src"]
    assert fact.total == edges
