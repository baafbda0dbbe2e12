import pytest

RATINGS = ("0\t0\t1", "0\t1\t0", "1\t1\t1", "1\t2\t0")
TRIPLES = ("0\t0\t3", "1\t0\t2", "1\t1\t1", "2\t1\t4", "3\t1\t0", "4\t1\t3")
NAMES = ("film.actor", "film.actor", "made by", "made by", "made by", "made by")


@pytest.fixture
def source(tmp_path, write_lines):
    folder = tmp_path / "source"
    write_lines(folder / "ratings_final.txt", *RATINGS)
    write_lines(folder / "kg_final.txt", *TRIPLES)
    return folder


@pytest.fixture
def named(source, write_lines):
    rows = [line.split("\t") for line in TRIPLES]
    lines = (f"{h}\t{name}\t{t}" for (h, _, t), name in zip(rows, NAMES, strict=True))
    write_lines(source / "kg.txt", *lines)
    return source


def test_items_are_no_entities_and_keep_their_numbers(source, imported):
    folder = imported("book_crossing", source)
    assert folder.scan("nodes/user").collect()["id"].to_list() == [0, 1]
    assert folder.scan("nodes/item").collect()["id"].to_list() == [0, 1, 2]
    assert folder.scan("nodes/entity").collect()["id"].to_list() == [3, 4]


def test_triples_by_end_types_without_self_loops(named, imported):
    folder = imported("book_crossing", named)
    tables = {
        name: folder.scan(f"relations/{name}").collect().rows()
        for name in folder.schema.static_relations
    }
    assert tables == {
        "film.actor.item-entity": [(0, 3)],
        "film.actor.item-item": [(1, 2)],
        "made_by.item-entity": [(2, 4)],
        "made_by.entity-item": [(3, 0)],
        "made_by.entity-entity": [(4, 3)],
    }


def test_without_names_relations_have_numbers(source, imported):
    folder = imported("book_crossing", source)
    assert "relation_1.entity-item" in folder.schema.static_relations


def test_task_and_derived_relation(source, imported):
    folder = imported("book_crossing", source)
    rows = folder.scan("tasks/read").select("src", "dst", "label").collect().rows()
    assert rows == [(0, 0, 1), (0, 1, 0), (1, 1, 1), (1, 2, 0)]
    assert folder.schema.relations["has_read"].from_task == "read"
    assert folder.schema.split.by == "random"


def test_names_that_do_not_fit_the_numbers(named, write_lines, refusal):
    path = write_lines(named / "kg.txt", "0\ta\t3", "1\tb\t2", *["1\tc\t1"] * 4)
    assert refusal("book_crossing", named) == (
        f"{path}: its relation names do not match the numbers of kg_final.txt"
    )
    write_lines(named / "kg.txt", "0\ta\t3")
    assert refusal("book_crossing", named) == f"{path}: 1 lines, but kg_final.txt has 6"


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("ratings_final.txt", "0\t0", "line 1: 2 columns, must be 3"),
        ("ratings_final.txt", "0\tx\t1", "line 1: column item: 'x' is no integer"),
        ("ratings_final.txt", "0\t0\t5", "line 1: column label: '5' is no label (0 or 1)"),
        ("kg_final.txt", "0\t0.5\t1", "line 1: column relation: '0.5' is no integer"),
    ],
)
def test_bad_lines(source, write_lines, refusal, file, line, said):
    path = write_lines(source / file, line)
    assert refusal("book_crossing", source) == f"{path}: {said}"


def test_missing_file(source, refusal):
    (source / "kg_final.txt").unlink()
    assert refusal("book_crossing", source) == f"{source / 'kg_final.txt'}: no such file"
