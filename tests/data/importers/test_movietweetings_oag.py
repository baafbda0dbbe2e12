import pytest

YEARS = {"old": 1999, "older": 2007, "first": 2008, "last": 2010, "next": 2011, "new": 2012}


@pytest.fixture
def source(tmp_path, write_lines):
    """Users 1 and 2 rate the six movies with a genre, 3 four of them and one without."""
    folder = tmp_path / "source"
    numbers = {name: f"{place:04}" for place, name in enumerate(YEARS)}
    write_lines(
        folder / "movies.dat",
        *(
            f"{numbers[name]}::The {name} Film ({year})::Drama|Crime"
            for name, year in YEARS.items()
        ),
        "0009::The bare Film (2012)::",
        *(f"01{k}::The filler {k} Film (199{k})::Crime" for k in range(2)),
        *(f"02{k}::Sequel (2013)::Crime" for k in range(5)),
    )
    rated = [(user, name) for user in (1, 2) for name in YEARS]
    rated += [(3, name) for name in list(YEARS)[:4]]
    lines = [
        f"{user}::{numbers[name]}::{9 if user == 1 else 7}::{k}"
        for k, (user, name) in enumerate(rated)
    ]
    write_lines(folder / "ratings.dat", *lines, "3::0009::9::99")
    return folder


def test_splits_go_by_the_year_of_release(source, imported):
    folder = imported("movietweetings_oag", source)
    rows = folder.scan("tasks/genre").select("id", "label", "split").collect().rows()
    assert rows[4:] == [(f"02{k}", [0], "test") for k in range(5)]
    assert rows[:4] == [
        ("0002", [0, 1], "train"),
        ("0003", [0, 1], "train"),
        ("0004", [0, 1], "valid"),
        ("0005", [0, 1], "test"),
    ]
    task = folder.schema.tasks["genre"]
    assert (task.metric, task.classes) == ("ndcg_paper", 2)


def test_movies_without_a_genre_are_out_and_users_need_five_ratings(source, imported):
    folder = imported("movietweetings_oag", source)
    assert "0009" not in folder.scan("nodes/movie").collect()["id"]
    users = folder.scan("nodes/user").collect()
    assert users["id"].to_list() == [1, 2]  # a fifth rating of a movie without genre is none
    assert users["activity"].to_list() == pytest.approx([1.0986123] * 2)  # two before 2008
    liked = folder.scan("relations/liked").collect()
    lower = folder.scan("relations/rated_lower").collect()
    assert set(liked["src"]) == {1}
    assert set(lower["src"]) == {2}
    assert liked.height == lower.height == 6


def test_words_are_in_five_titles_before_valid(source, imported):
    folder = imported("movietweetings_oag", source)
    words = dict(folder.scan("nodes/movie").select("id", "words").collect().rows())
    assert folder.schema.node_types["movie"].features[0].size == 2  # film, the
    assert words["0005"] == words["0000"] == words["011"] == [0, 1]
    assert words["020"] == []  # five test titles make no word


def test_too_small_is_said(source, write_lines, refusal):
    write_lines(source / "ratings.dat", "1::0000::9::1")
    assert "too small: 2008 to 2010, 2011 and the years after" in refusal(
        "movietweetings_oag", source
    )


@pytest.mark.realdata
def test_counts(real_data, imported):
    folder = imported("movietweetings_oag", real_data / "movietweetings/100K", False)
    genre = folder.scan("tasks/genre").collect()["split"].value_counts().sort("split").rows()
    assert genre == [("test", 1818), ("train", 1623), ("valid", 791)]
    assert folder.scan("nodes/user").collect().height == 4689
