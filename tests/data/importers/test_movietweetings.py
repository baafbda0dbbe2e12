import pytest


@pytest.fixture
def source(tmp_path, write_lines):
    folder = tmp_path / "source"
    write_lines(
        folder / "ratings.dat",
        "1::0007::9::30",
        "1::0120::7::20",
        "2::0007::8::10",
        "2::0005::0::40",
    )
    write_lines(
        folder / "movies.dat",
        "0005::Silence (1919)::",
        "0007::Fantômas: À l'ombre (1913)::Drama|Crime",
        "0120::Late (2010) Again (2001)::Crime",
    )
    return folder


def test_pairs(source, imported):
    folder = imported("movietweetings", source)
    like = folder.scan("tasks/like").select("src", "dst", "label", "time").collect().rows()
    assert like == [(1, "0007", 1, 30), (1, "0120", 0, 20), (2, "0007", 1, 10), (2, "0005", 0, 40)]
    assert folder.scan("tasks/rating").collect()["label"].to_list() == [9, 7, 8, 0]


def test_movies_have_a_decade_and_no_genre_but_in_the_task(source, imported):
    folder = imported("movietweetings", source)
    movies = folder.scan("nodes/movie").collect()
    assert movies.rows() == [("0005", 1910), ("0007", 1910), ("0120", 2000)]
    assert not folder.schema.static_relations
    assert list(folder.schema.node_types) == ["user", "movie"]


def test_genres_stand_at_the_first_rating(source, imported):
    folder = imported("movietweetings", source)
    rows = folder.scan("tasks/genre").select("id", "label", "time").collect().rows()
    assert rows == [("0007", [0, 1], 10), ("0120", [0], 20)]
    assert folder.schema.tasks["genre"].classes == 2
    assert "Crime, Drama" in folder.schema.description


@pytest.mark.parametrize(
    ("file", "lines", "said"),
    [
        ("ratings.dat", ["1::0007::9"], "line 1: 3 columns, must be 4"),
        ("ratings.dat", ["1::0007::x::3"], "line 1: column rating: 'x' is no integer"),
        ("ratings.dat", ["1::9999::5::3"], "1 ratings are of movies not in it (9999)"),
        ("movies.dat", ["0007::A (1990)::", "0120::B::"], "line 2: title 'B' has no (year)"),
        ("movies.dat", ["0007::A (1990)::"] * 2, "movie 0007 has several lines"),
    ],
)
def test_bad_lines(source, write_lines, refusal, file, lines, said):
    write_lines(source / file, *lines)
    assert refusal("movietweetings", source).endswith(said)


@pytest.mark.realdata
@pytest.mark.parametrize(("snapshot", "unlabelled"), [("10K", 14), ("100K", 66)])
def test_published_counts(real_data, imported, snapshot, unlabelled):
    folder = imported(
        "movietweetings", real_data / "movietweetings" / snapshot, accept_counts=False
    )
    genres = folder.scan("tasks/genre").collect()
    assert folder.scan("nodes/movie").collect().height - genres.height == unlabelled
    assert folder.scan("tasks/like").collect()["label"].mean() == pytest.approx(0.505, abs=0.001)
