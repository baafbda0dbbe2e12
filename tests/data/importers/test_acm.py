import numpy as np
import pytest
from scipy import sparse

PAPERS, AUTHORS = 6, 3


@pytest.fixture
def source(tmp_path, write_lines):
    folder = tmp_path / "source"
    folder.mkdir()
    sparse.save_npz(folder / "p_feat.npz", sparse.csr_matrix(np.eye(PAPERS, 8) / 2))
    sparse.save_npz(folder / "a_feat.npz", sparse.coo_matrix(np.eye(AUTHORS, 8) / 3))
    np.save(folder / "labels.npy", np.array([0.0, 1, 2, 0, 1, 2]))
    write_lines(folder / "pa.txt", "0\t0", "1\t1", "2\t2", "3\t0", "4\t1", "5\t2")
    write_lines(folder / "ps.txt", "0\t59", "1\t1", "2\t2", "3\t3", "4\t4", "5\t5")
    for name, papers in (("train", [2, 0]), ("val", [1]), ("test", [4])):
        np.save(folder / f"{name}_60.npy", np.array(papers))
    return folder


def test_tables(source, imported):
    folder = imported("acm", source)
    rows = folder.scan("tasks/paper_class").select("id", "label", "split").collect().rows()
    assert rows == [(0, 0, "train"), (1, 1, "valid"), (2, 2, "train"), (4, 1, "test")]
    subjects = folder.scan("tasks/subject").select("id", "label", "split").collect().rows()
    assert subjects == [
        (0, 59, "train"),
        (1, 1, "valid"),
        (2, 2, "train"),
        (3, 3, "train"),
        (4, 4, "test"),
        (5, 5, "train"),
    ]
    assert folder.scan("nodes/author").collect()["words"].to_list() == [[0], [1], [2]]


def test_the_subject_is_a_label_and_nothing_else(source, imported):
    schema = imported("acm", source).schema
    assert set(schema.node_types) == {"paper", "author"}
    assert set(schema.relations) == {"writes"}
    assert schema.tasks["subject"].role == "auxiliary"


def test_bad_files(source, write_lines, refusal):
    np.save(source / "val_60.npy", np.array([2]))
    assert "source: paper 2 is in two splits" in refusal("acm", source)
    np.save(source / "val_60.npy", np.array([6]))
    assert "val_60.npy: line 1: paper 6, but there are 6 of them" in refusal("acm", source)
    write_lines(source / "ps.txt", "0\t60")
    assert "ps.txt: line 1: subject 60, but there are 60" in refusal("acm", source)
    np.save(source / "labels.npy", np.array([0.0, 1, 2, 0, 1, 0.5]))
    assert "labels.npy: entry 5: 0.5 is no class of 0..2" in refusal("acm", source)


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("acm", real_data / "acm_heco", accept_counts=False)
    subjects = folder.scan("tasks/subject").collect()["split"].value_counts().sort("split")
    assert subjects.rows() == [("test", 1000), ("train", 2019), ("valid", 1000)]
