import pytest

from counterpoint.data.importers.ali_ccp import LAYOUT as ALI_CCP
from counterpoint.data.importers.aliexpress import LAYOUT as ALIEXPRESS


def lines(layout, rows):
    """Header and rows; a row is (click, conversion, first column)."""
    columns = list(layout.columns)
    yield ",".join(columns)
    for click, conversion, first in rows:
        values = dict.fromkeys(columns, "1") | {columns[0]: str(first)}
        values |= {"click": str(click), layout.conversion: str(conversion)}
        yield ",".join(values.values())


@pytest.fixture
def ali_ccp(tmp_path, write_lines):
    folder = tmp_path / "source"
    write_lines(folder / "ali_ccp_train.csv", *lines(ALI_CCP, [(0, 0, 7), (1, 1, 8)]))
    write_lines(folder / "ali_ccp_val.csv", *lines(ALI_CCP, [(1, 0, 9)]))
    write_lines(folder / "ali_ccp_test.csv", *lines(ALI_CCP, [(0, 0, 5), (1, 0, 6)]))
    return folder


@pytest.fixture
def aliexpress(tmp_path, write_lines):
    folder = tmp_path / "source"
    train = [(row % 2, 0, row // 4) for row in range(400)]
    write_lines(folder / "train.csv", *lines(ALIEXPRESS, train))
    write_lines(folder / "test.csv", *lines(ALIEXPRESS, [(1, 1, 0), (0, 0, 1)]))
    return folder


def test_files_are_the_split_and_rows_are_numbered_through(ali_ccp, imported):
    folder = imported("ali_ccp", ali_ccp)
    clicks = folder.scan("tasks/click").select("id", "label", "split").collect().rows()
    assert clicks == [
        (0, 0, "train"),
        (1, 1, "train"),
        (2, 1, "valid"),
        (3, 0, "test"),
        (4, 1, "test"),
    ]
    nodes = folder.scan("nodes/impression").select("id", "101").collect().rows()
    assert nodes == [(0, 7), (1, 8), (2, 9), (3, 5), (4, 6)]
    assert folder.scan("tasks/purchase").collect()["label"].to_list() == [0, 1, 0, 0, 0]
    assert folder.schema.tasks["purchase"].parent == "click"


def test_labels_and_ids_are_no_features(ali_ccp, imported):
    names = {f.name for f in imported("ali_ccp", ali_ccp).schema.node_types["impression"].features}
    assert len(names) == 31
    assert not names & {"click", "purchase", "search_id"}


def test_whole_searches_become_valid(aliexpress, imported):
    folder = imported("aliexpress", aliexpress)
    rows = folder.scan("tasks/click").collect()
    assert rows["split"].to_list()[400:] == ["test", "test"]
    train = rows.head(400)["split"].to_list()
    searches = [train[row : row + 4] for row in range(0, 400, 4)]
    assert all(len(set(search)) == 1 for search in searches)
    assert 3 <= sum(search[0] == "valid" for search in searches) <= 20
    names = [f.name for f in folder.schema.node_types["impression"].features]
    assert "search_id" not in names
    assert len(names) == 16 + 63


def test_bad_files(ali_ccp, write_lines, refusal):
    path = ali_ccp / "ali_ccp_val.csv"
    good = list(lines(ALI_CCP, [(1, 0, 9)]))
    write_lines(path, *good, good[1].removesuffix(",1,0"))
    assert refusal("ali_ccp", ali_ccp) == f"{path}: line 3: column click: missing"
    write_lines(path, *lines(ALI_CCP, [(1, 0, "9.5")]))
    assert refusal("ali_ccp", ali_ccp) == f"{path}: line 2: column 101: '9.5' is no integer"
    write_lines(path, *(line.removeprefix("101,") for line in good))
    assert refusal("ali_ccp", ali_ccp) == f"{path}: line 1: no column 101"
    path.unlink()
    assert "holds no ali_ccp_val.csv or ali_ccp_val_sample.csv" in refusal("ali_ccp", ali_ccp)


@pytest.mark.realdata
def test_the_public_layouts(real_data, imported):
    folder = imported("ali_ccp", real_data / "mtl_samples")
    assert folder.scan("nodes/impression").collect().shape == (200, 32)
    folder = imported("aliexpress", real_data / "mtl_samples")
    assert folder.scan("nodes/impression").collect().shape == (120, 80)
    assert folder.scan("tasks/conversion").collect()["label"].sum() == 4
