import numpy as np
import polars as pl
import pytest
from scipy import sparse


@pytest.fixture
def source(cora_files):
    return cora_files


def test_tables(source, imported):
    folder = imported("cora", source)
    topic = folder.scan("tasks/topic").collect()
    assert topic["split"].value_counts().sort("split").rows() == [
        ("test", 3),
        ("train", 1),
        ("valid", 500),
    ]
    assert topic.filter(split="train").select("id", "label").rows() == [(0, 2)]
    assert topic.filter(split="valid")["id"].to_list() == list(range(1, 501))
    papers = folder.scan("nodes/paper").collect()
    assert papers["words"][5].to_list() == [1]
    assert folder.schema.tasks["topic"].classes == 3


def test_test_papers_are_put_where_the_index_says(source, imported):
    folder = imported("cora", source)
    tested = folder.scan("tasks/topic").filter(pl.col("split") == "test").collect()
    assert tested.select("id", "label").rows() == [(503, 1), (504, 2), (505, 0)]
    words = folder.scan("nodes/paper").collect()["words"].to_list()
    assert words[503:] == [[2], [1], [3]]


def test_an_edge_is_there_once_and_never_a_loop(source, imported):
    cites = imported("cora", source).scan("relations/cites").collect()
    assert cites.height == 506
    assert (cites["src"] < cites["dst"]).all()
    assert not cites.is_duplicated().any()


def test_bad_files(source, refusal, python2_pickle):
    index = source / "ind.cora.test.index"
    index.write_text("505\n503\n503\n")
    assert refusal("cora", source) == f"{index}: must name each of the papers 503..505"
    index.write_text("505\nx\n504\n")
    assert "line 2: column paper: 'x' is no integer" in refusal("cora", source)
    index.write_text("505\n503\n504\n")
    graph = source / "ind.cora.graph"
    graph.write_bytes(python2_pickle({0: [506]}))
    assert refusal("cora", source) == f"{graph}: names a paper outside 0..505"
    graph.unlink()
    assert refusal("cora", source) == f"{graph}: no such file"


def test_parts_that_do_not_fit(source, refusal, python2_pickle):
    (source / "ind.cora.ty").write_bytes(python2_pickle(np.ones((3, 3), dtype="<i4")))
    assert "a paper has not exactly one class" in refusal("cora", source)
    words = sparse.csr_matrix(np.eye(2, 4, dtype="<f4"))
    (source / "ind.cora.tx").write_bytes(python2_pickle(words))
    assert "not as long as" in refusal("cora", source)


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("cora", real_data / "planetoid", accept_counts=False)
    assert folder.schema.node_types["paper"].features[0].size == 1433
    assert folder.scan("tasks/topic").collect().height == 140 + 500 + 1000
