from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from counterpoint.errors import UserError
from counterpoint.metrics import Kind, Parts, check_paired, read_parts, write_parts


@pytest.mark.parametrize("n", [60, 0])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_parts_survive_the_disk_and_give_equal_bytes(tmp_path, make_parts, kind, n):
    parts = make_parts(kind, n=n)
    write_parts(tmp_path / "a.parquet", parts)
    write_parts(tmp_path / "b.parquet", parts)
    back = read_parts(tmp_path / "a.parquet")
    assert back.kind == kind
    for name in ("cluster", "row", "label", "score"):
        ours, theirs = getattr(parts, name), getattr(back, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_column_order_is_fixed(tmp_path, make_parts):
    import polars as pl

    write_parts(tmp_path / "link.parquet", make_parts("link"))
    write_parts(tmp_path / "binary.parquet", make_parts("binary"))
    link = pl.read_parquet(tmp_path / "link.parquet")
    assert link.columns == ["row", "cluster", "n_candidates", "rank"]
    assert link.schema["rank"] == pl.Float32
    assert pl.read_parquet(tmp_path / "binary.parquet").columns == [
        "row",
        "cluster",
        "label",
        "score",
    ]


def test_unreadable_files_are_named(tmp_path):
    import polars as pl

    with pytest.raises(UserError, match=r"absent\.parquet: no such file"):
        read_parts(tmp_path / "absent.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"broken\.parquet: not readable"):
        read_parts(tmp_path / "broken.parquet")
    pl.DataFrame({"row": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other\.parquet: not metric parts"):
        read_parts(tmp_path / "other.parquet")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("binary", {"kind": "ordinal"}, "kind: 'ordinal' is none of"),
        ("binary", {"cluster": np.arange(59)}, "cluster: shape"),
        ("binary", {"score": np.zeros((60, 2))}, "score: shape"),
        ("multilabel", {"label": np.zeros((60, 4))}, "label: shape"),
        ("binary", {"row": np.zeros(60)}, "row: 59 of 60 repeated"),
        ("binary", {"row": np.arange(60) + 0.5}, "row: 60 of 60 are no int64"),
        ("binary", {"score": np.full(60, np.nan)}, "score: 60 of 60 not finite"),
        ("binary", {"score": np.full(60, 1.5)}, r"score: 60 of 60 outside \[0, 1\]"),
        ("binary", {"label": np.full(60, 2)}, "label: 60 of 60 neither 0 nor 1"),
        ("binary", {"label": np.full(60, -1)}, "label: 60 of 60 are no uint8"),
        ("multiclass", {"label": np.full(60, 4)}, r"label: 60 of 60 not a class of 0\.\.3"),
        ("multiclass", {"score": np.full((60, 4), 0.5)}, "do not sum to 1"),
        ("link", {"score": np.full(60, 0.5)}, "rank: 60 of 60 outside"),
        ("link", {"label": np.full(60, 0)}, "rank: 60 of 60 outside"),
        ("regression", {"label": np.full(60, np.inf)}, "label: 60 of 60 not finite"),
    ],
)
def test_faults_are_counted(make_parts, kind, change, message):
    with pytest.raises(UserError, match=message):
        replace(make_parts(kind), **change)


def test_paired_models_scored_the_same_rows(make_parts):
    first = make_parts("binary", seed=1)
    check_paired({"joint": first, "twin": make_parts("binary", seed=2)})
    flipped = 1 - first.label
    for change, message in [
        ({"row": first.row + 1}, "twin: other row in 60 places than joint"),
        ({"cluster": first.cluster[::-1]}, "twin: other cluster in"),
        ({"label": flipped}, "twin: other label in 60 places"),
    ]:
        with pytest.raises(UserError, match=message):
            check_paired({"joint": first, "twin": replace(first, **change)})
    columns = (first.cluster, first.row, first.label, first.score)
    shorter = Parts("binary", *(column[1:] for column in columns))
    with pytest.raises(UserError, match="twin: 59 rows, not 60"):
        check_paired({"joint": first, "twin": shorter})
    with pytest.raises(UserError, match="twin: other kind"):
        check_paired({"joint": first, "twin": make_parts("link")})
