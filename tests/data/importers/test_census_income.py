import gzip

import polars as pl
import pytest

from counterpoint.data.importers.census_income import COLUMNS


def row(**changed: str) -> str:
    values = dict.fromkeys(COLUMNS, "1") | {"marital_status": "Widowed", "income": "- 50000."}
    return ", ".join((values | changed).values())


@pytest.fixture
def source(tmp_path, write_lines):
    folder = tmp_path / "source"
    write_lines(
        folder / "census-income.test",
        row(age="38", income="50000+."),
        row(marital_status="Never married", sex="Female"),
    )
    return folder


def test_tables(source, imported):
    folder = imported("census_income", source)
    assert folder.scan("tasks/income").collect().rows() == [(0, 1), (1, 0)]
    assert folder.scan("tasks/never_married").collect().rows() == [(0, 0), (1, 1)]
    persons = folder.scan("nodes/person").select("id", "age", "sex").collect()
    assert persons.rows() == [(0, 38.0, "1"), (1, 1.0, "Female")]


def test_no_feature_tells_a_label(source, imported):
    persons = imported("census_income", source).scan("nodes/person").collect_schema().names()
    assert len(persons) == 1 + 42 - 6
    for column in persons:
        assert not column.startswith(("income", "marital", "detailed", "tax_filer", "instance"))


def test_gzip(source, imported):
    plain = source / "census-income.test"
    (source / "census-income.test.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert imported("census_income", source).scan("tasks/income").collect().height == 2


def test_both_files_are_the_split(source, imported, write_lines):
    married = [row(age=str(age), marital_status="Never married") for age in range(200)]
    write_lines(source / "census-income.data", *married)
    folder = imported("census_income", source)
    assert folder.schema.split.by == "given"
    rows = folder.scan("tasks/income").select("id", "split", "label").collect()
    assert rows.tail(2).rows() == [(200, "test", 1), (201, "test", 0)]
    train = rows.head(200)
    assert train["label"].sum() == 0
    assert set(train["split"]) == {"train", "valid"}
    assert 8 <= (train["split"] == "valid").sum() <= 36
    assert folder.scan("tasks/never_married").collect()["split"].equals(rows["split"])
    assert folder.scan("nodes/person").collect()["age"].to_list()[:200] == list(range(200))


def test_the_same_rows_are_valid_each_time(source, imported, write_lines):
    write_lines(source / "census-income.data", *[row()] * 50)
    first = imported("census_income", source).scan("tasks/income").collect()["split"]
    assert first.equals(imported("census_income", source).scan("tasks/income").collect()["split"])


def test_the_test_file_alone_has_a_random_split(source, imported):
    folder = imported("census_income", source)
    assert folder.schema.split.by == "random"
    assert "split" not in folder.scan("tasks/income").collect_schema()


def test_bad_files(source, write_lines, refusal):
    path = write_lines(source / "census-income.test", row(), row(age="old"))
    said = refusal("census_income", source)
    assert said == f"{path}: line 2: column age: 'old' is no finite number"
    write_lines(path, row() + ", 1")
    assert refusal("census_income", source) == f"{path}: line 1: 43 columns, must be 42"
    training = write_lines(source / "census-income.data.gz", row())
    write_lines(path, row())
    write_lines(training, row(age="old"))
    said = refusal("census_income", source)
    assert said == f"{training}: line 1: column age: 'old' is no finite number"
    path.unlink()
    assert "holds no census-income.test.gz or census-income.test" in refusal(
        "census_income", source
    )


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("census_income", real_data / "census_income", accept_counts=False)
    assert folder.scan("nodes/person").collect().height == 99762
    # what is left cannot tell the second label from one column alone
    persons = folder.scan("nodes/person").collect()
    label = folder.scan("tasks/never_married").collect()["label"]
    positives, rows = pl.col("label").sum().cast(pl.Int64), pl.len().cast(pl.Int64)
    for feature in folder.schema.node_types["person"].features:
        groups = persons.select(feature.name, label=label).group_by(feature.name)
        right = groups.agg(right=pl.max_horizontal(positives, rows - positives))["right"].sum()
        assert right / persons.height < 0.9, feature.name
