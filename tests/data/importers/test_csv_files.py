import pytest

from counterpoint.data.importers.csv_files import checked_csv
from counterpoint.data.importers.text_files import Kind
from counterpoint.errors import UserError

COLUMNS = {"a": Kind.INTEGER, "b": Kind.NUMBER, "c": Kind.LABEL}


def test_totals_and_rows(tmp_path, write_lines):
    path = write_lines(tmp_path / "t.csv", "c,other,b,a", "1,x,2.5,7", "0,,1,8", "1,y,0,9")
    file = checked_csv(path, COLUMNS)
    assert dict(file.totals) == {"rows": 3, "c": 2}
    assert file.scan().collect().rows() == [(7, 2.5, 1), (8, 1.0, 0), (9, 0.0, 1)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("a,b,c", "1,2,0", "1,2"), "line 3: column c: missing"),
        (("a,b,c", "1,2,0", "1,x,0", "y,2,0"), "line 3: column b: 'x' is no finite number"),
        (("a,b,c", "1,2,3"), "line 2: column c: '3' is no label (0 or 1)"),
        (("a,b,c", ",2,0"), "line 2: column a: missing"),
        (("a,b", "1,2"), "line 1: no column c"),
        (("a,b,c",), "has no rows"),
        (("a,b,c", "1,2,0,9"), "not a readable CSV file (found more fields than defined"),
        ((), "not a readable CSV file (empty CSV)"),
    ],
)
def test_bad_files(tmp_path, write_lines, lines, said):
    path = write_lines(tmp_path / "t.csv", *lines)
    with pytest.raises(UserError) as refused:
        checked_csv(path, COLUMNS)
    assert str(refused.value).startswith(f"{path}: {said}")
    assert "\n" not in str(refused.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"t\.csv: no such file"):
        checked_csv(tmp_path / "t.csv", COLUMNS)
