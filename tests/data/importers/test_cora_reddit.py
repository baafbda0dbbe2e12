import pytest

PAPERS = 506  # of the files in conftest


def test_a_tenth_of_the_papers_in_each_split(cora_files, imported):
    folder = imported("cora_reddit", cora_files)
    topic = folder.scan("tasks/topic").collect()
    counts = topic["split"].value_counts().sort("split").rows()
    assert counts == [("test", 50), ("train", 50), ("valid", 50)]
    assert topic["id"].is_unique().all()
    # drawn from all papers, not the first ones
    assert topic["id"].max() > 0.9 * PAPERS
    assert folder.scan("nodes/paper").collect().height == PAPERS


def test_labels_and_edges_are_those_of_cora(cora_files, tmp_path, imported):
    known = imported("cora", cora_files)
    topics = dict(known.scan("tasks/topic").select("id", "label").collect().rows())
    cites = known.scan("relations/cites").collect().rows()
    folder = imported("cora_reddit", cora_files)
    rows = folder.scan("tasks/topic").select("id", "label").collect().rows()
    both = [(topics[paper], label) for paper, label in rows if paper in topics]
    assert len(both) > 100
    assert all(known == label for known, label in both)
    assert folder.scan("relations/cites").collect().rows() == cites


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("cora_reddit", real_data / "planetoid", accept_counts=False)
    assert folder.scan("tasks/topic").collect().height == 3 * 270
