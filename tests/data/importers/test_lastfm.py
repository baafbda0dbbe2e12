import math

import polars as pl
import pytest


@pytest.fixture
def source(tmp_path, write_lines):
    """Users 20 and 40 of the raw file are 0 and 1; 30 listens to no artist of the graph."""
    folder = tmp_path / "source"
    write_lines(folder / "ratings_final.txt", "0\t1\t1", "0\t0\t1", "0\t2\t0", "1\t2\t1", "1\t0\t0")
    write_lines(folder / "kg_final.txt", "0\t0\t3", "1\t0\t3")
    write_lines(folder / "kg.txt", "0\tmusic.genre\t3", "1\tmusic.genre\t3")
    write_lines(folder / "item_index2entity_id.txt", "70\t0", "80\t1", "90\t2")
    write_lines(
        folder / "user_artists.dat",
        "userID\tartistID\tweight",
        "20\t80\t10",
        "20\t70\t99",
        "30\t5\t1",
        "40\t90\t1",
    )
    return folder


def test_log_of_plays_follows_the_renumbering(source, imported):
    folder = imported("lastfm", source)
    rows = folder.scan("tasks/listen_count").collect().rows()
    assert [row[:2] for row in rows] == [(0, 1), (0, 0), (1, 2)]
    assert [row[2] for row in rows] == pytest.approx([math.log(11), math.log(100), math.log(2)])


def test_plays_that_are_not_the_positives_are_refused(source, write_lines, refusal):
    path = write_lines(
        source / "user_artists.dat", "userID\tartistID\tweight", "20\t80\t10", "40\t70\t99"
    )
    assert refusal("lastfm", source) == (
        f"{path}: 2 plays of known artists, 1 of them are among the 3 positives of "
        "ratings_final.txt: not the files it was made of"
    )


@pytest.mark.realdata
def test_published_counts(real_data, imported):
    folder = imported("lastfm", real_data / "lastfm_kg", accept_counts=False)
    sizes = {
        name: folder.scan(f"nodes/{name}").collect().height for name in folder.schema.node_types
    }
    assert sizes == {"user": 1872, "item": 3846, "entity": 9366 - 3846}
    edges = [
        folder.scan(f"relations/{name}").collect().height for name in folder.schema.static_relations
    ]
    assert (len(edges), sum(edges)) == (61, 15518 - 49)
    positives = folder.scan("tasks/listen").filter(pl.col("label") == 1).collect()
    counted = folder.scan("tasks/listen_count").collect()
    assert positives.select("src", "dst").equals(counted.select("src", "dst"))
    assert counted["label"].min() == pytest.approx(math.log(2))
    assert counted["label"].max() == pytest.approx(math.log(125472))
