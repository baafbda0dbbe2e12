import numpy as np
import pytest
from scipy import sparse

AUTHORS, PAPERS, TERMS = 4, 5, 3


@pytest.fixture
def source(tmp_path, write_lines):
    heco, struchis = tmp_path / "source" / "heco", tmp_path / "source" / "struchis"
    for folder in (heco, struchis):
        folder.mkdir(parents=True)
    sparse.save_npz(heco / "a_feat.npz", sparse.csr_matrix(np.eye(AUTHORS, 6, dtype=int)))
    sparse.save_npz(heco / "p_feat.npz", sparse.csr_matrix(3 * np.eye(PAPERS, 7, dtype=int)))
    with (heco / "t_feat.npz").open("wb") as stream:
        np.save(stream, np.arange(TERMS * 2.0).reshape(TERMS, 2))
    write_lines(heco / "pa.txt", "0\t0", "1\t1", "2\t2", "3\t3", "4\t0")
    write_lines(heco / "pt.txt", "0\t0", "1\t1", "2\t2")
    write_lines(heco / "pc.txt", "1\t19", "0\t3", "2\t4", "3\t5", "4\t6")
    np.save(heco / "labels.npy", np.array([0, 1, 2, 3]))
    write_masks(struchis)
    return tmp_path / "source"


def write_masks(struchis, **changed):
    places = {
        "author_train": [0, 1],
        "author_valid": [2],
        "author_test": [3],
        "paper_train": [0],
        "paper_valid": [1, 2],
        "paper_test": [4],
    }
    masks = {
        name: np.isin(np.arange(AUTHORS if name.startswith("author") else PAPERS), mask)
        for name, mask in {**places, **changed}.items()
    }
    np.savez(struchis / "masks.npz", **masks)


def test_tables(source, imported):
    folder = imported("dblp", source)
    areas = folder.scan("tasks/author_area").collect()
    assert areas.select("id", "label", "split").rows() == [
        (0, 0, "train"),
        (1, 1, "train"),
        (2, 2, "valid"),
        (3, 3, "test"),
    ]
    venues = folder.scan("tasks/paper_venue").collect()
    assert venues.select("id", "label", "split").rows() == [
        (0, 3, "train"),
        (1, 19, "valid"),
        (2, 4, "valid"),
        (4, 6, "test"),
    ]
    assert folder.scan("nodes/paper").collect()["words"].to_list() == [[n] for n in range(PAPERS)]
    assert folder.scan("nodes/term").collect()["vector"].to_list() == [[0, 1], [2, 3], [4, 5]]
    assert folder.scan("relations/writes").collect().rows()[-1] == (0, 4)


def test_the_venue_is_a_label_and_nothing_else(source, imported):
    schema = imported("dblp", source).schema
    assert set(schema.node_types) == {"author", "paper", "term"}
    assert set(schema.relations) == {"writes", "mentions"}


def test_bad_files(source, write_lines, refusal):
    heco = source / "heco"
    write_masks(source / "struchis", author_test=[0])
    masks = source / "struchis" / "masks.npz"
    assert refusal("dblp", source) == f"{masks}: author 0 is in two splits"
    np.savez(masks, author_train=np.ones(3, dtype=bool))
    assert "masks.npz: holds no array author_valid, author_test" in refusal("dblp", source)
    write_lines(heco / "pc.txt", "0\t3")
    assert "pc.txt: 1 lines, must be one for each of 5 papers" in refusal("dblp", source)
    write_lines(heco / "pc.txt", "0\t20")
    assert "pc.txt: line 1: venue 20, but there are 20 of them" in refusal("dblp", source)
    np.save(heco / "labels.npy", np.arange(3))
    assert "labels.npy: shape 3, must be 4" in refusal("dblp", source)
    write_lines(heco / "pa.txt", "0\t0", "5\t0")
    assert "pa.txt: line 2: paper 5, but there are 5 of them" in refusal("dblp", source)
    (heco / "p_feat.npz").unlink()
    assert refusal("dblp", source) == f"{heco / 'p_feat.npz'}: no such file"


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("dblp", real_data / "dblp_mtl", accept_counts=False)
    sizes = {
        name: node_type.features[0].size for name, node_type in folder.schema.node_types.items()
    }
    assert sizes == {"author": 334, "paper": 4231, "term": 50}
    venues = folder.scan("tasks/paper_venue").collect()["label"].value_counts()["count"]
    assert (venues.min(), venues.max(), len(venues)) == (11, 1814, 20)
    areas = folder.scan("tasks/author_area").collect()["label"].value_counts().sort("label")
    assert areas["count"].to_list() == [1197, 745, 1109, 1006]
