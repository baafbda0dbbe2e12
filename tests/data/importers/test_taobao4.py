import polars as pl
import pytest

BEHAVIOURS = {"view": "pv", "favourite": "fav", "cart": "cart", "purchase": "buy"}


@pytest.fixture
def source(tmp_path, write_lines):
    folder = tmp_path / "source"
    for prefix in BEHAVIOURS.values():
        write_lines(folder / f"{prefix}.train.txt", "0\t5\t6\t7", "1\t5\t8", "2\t9")
        write_lines(folder / f"{prefix}.test.txt", "0\t8", "1\t6", "2\t5")
    write_lines(folder / "item_category.txt", "5\t0", "6\t0", "7\t1", "8\t2", "9\t1", "5\t2")
    return folder


def test_one_valid_pair_a_user_who_can_spare_it(source, imported):
    folder = imported("taobao4", source)
    for task in BEHAVIOURS:
        rows = folder.scan(f"tasks/{task}").collect()
        assert rows.filter(split="valid")["src"].sort().to_list() == [0, 1]
        assert rows.filter(split="train")["src"].sort().to_list() == [0, 0, 1, 2]
        assert rows.filter(split="test").select("src", "dst").rows() == [(0, 8), (1, 6), (2, 5)]


def test_the_draw_is_repeated_and_its_own_in_each_behaviour(source, imported, write_lines):
    train = [f"{user}\t" + "\t".join(map(str, range(9))) for user in range(30)]
    test = [f"{user}\t9" for user in range(30)]
    for prefix in BEHAVIOURS.values():
        write_lines(source / f"{prefix}.train.txt", *train)
        write_lines(source / f"{prefix}.test.txt", *test)

    def drawn() -> list[list[int]]:
        folder = imported("taobao4", source)
        valid = pl.col("split") == "valid"
        return [
            folder.scan(f"tasks/{t}").filter(valid).collect()["dst"].to_list() for t in BEHAVIOURS
        ]

    first = drawn()
    assert first == drawn()
    assert len({tuple(items) for items in first}) == len(BEHAVIOURS)
    assert len(set(first[0])) > 4


def test_schema(source, imported):
    schema = imported("taobao4", source).schema
    assert set(schema.targets) == {"view", "purchase"}
    assert schema.cross_task == "drop"
    assert schema.split.by == "given"
    derived = {name: r.from_task for name, r in schema.relations.items() if r.from_task}
    assert derived == {
        "viewed": "view",
        "favourited": "favourite",
        "carted": "cart",
        "purchased": "purchase",
    }
    assert schema.ends("in_category") == ("item", "category")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3", "line 1: a user and no item"),
        ("3\t4\t", "line 1: column item: '' is no integer"),
        ("3 4", "line 1: a user and no item"),
    ],
)
def test_bad_lines(source, write_lines, refusal, line, said):
    path = write_lines(source / "cart.train.txt", line)
    assert refusal("taobao4", source) == f"{path}: {said}"


def test_missing_file(source, refusal):
    (source / "fav.test.txt").unlink()
    assert refusal("taobao4", source) == f"{source / 'fav.test.txt'}: no such file"


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("taobao4", real_data / "taobao4_mb", accept_counts=False)
    assert folder.scan("relations/in_category").collect().height == 62925
    purchases = folder.scan("tasks/purchase").collect()
    assert purchases["split"].value_counts().sort("split").rows() == [
        ("test", 12770),
        ("train", 25914),
        ("valid", 7730),
    ]
    views = folder.scan("tasks/view").collect().filter(pl.col("split") != "test")
    bought = purchases.filter(split="test").join(views, on=["src", "dst"], how="semi")
    assert bought.height / 12770 == pytest.approx(0.43, abs=0.005)
