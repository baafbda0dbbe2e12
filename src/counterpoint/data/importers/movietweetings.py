"""MovieTweetings snapshots of 10,000 and 100,000 ratings."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import Kind, read_table
from counterpoint.data.schema import (
    DataSchema,
    Feature,
    FeatureKind,
    NodeType,
    Relation,
    Split,
    Task,
    TaskKind,
)
from counterpoint.errors import UserError

LIKED_FROM = 8


@dataclass(frozen=True)
class Snapshot:
    """Published counts of a snapshot."""

    ratings: int
    users: int
    movies: int
    genres: int


SNAPSHOTS = (Snapshot(10_000, 3_794, 3_096, 24), Snapshot(100_000, 16_554, 10_506, 25))


def read(source: Path) -> Imported:
    """Tasks ``like`` (rating of 8 or more), ``rating`` and ``genre``, split by time.

    Movies have a decade and no edge to their genres, which are labels. A movie without a genre
    has no row in ``genre``; a movie's row stands at the time of its first rating.
    """
    ratings, movies = read_ratings_and_movies(source)
    genres = movies["genres"].explode(empty_as_null=True).drop_nulls().unique().sort()
    tables = {
        "nodes/user": pl.DataFrame({"id": ratings["user"].unique().sort()}),
        "nodes/movie": movies.select("id", decade=pl.col("year") // 10 * 10),
        "tasks/like": _pairs(ratings, (pl.col("rating") >= LIKED_FROM).cast(pl.Int8)),
        "tasks/rating": _pairs(ratings, pl.col("rating").cast(pl.Float64)),
        "tasks/genre": _genre_rows(movies, ratings, genres),
    }
    return Imported(_schema(genres.to_list()), tables, counts_of(ratings, movies))


def counts_of(ratings: pl.DataFrame, movies: pl.DataFrame) -> list[Count]:
    """What the files hold, beside the published counts of the nearer snapshot."""
    published = min(SNAPSHOTS, key=lambda snapshot: abs(snapshot.ratings - ratings.height))
    genres = movies["genres"].explode(empty_as_null=True).drop_nulls().n_unique()
    return [
        Count("ratings", ratings.height, published.ratings, file="ratings.dat"),
        Count("users", ratings["user"].n_unique(), published.users, file="ratings.dat"),
        Count("movies", movies.height, published.movies, file="movies.dat"),
        Count("genres", genres, published.genres, file="movies.dat"),
        Count("movies without a genre", movies.filter(pl.col("genres").list.len() == 0).height),
    ]


def _schema(genres: list[str]) -> DataSchema:
    return DataSchema(
        name="movietweetings",
        description=f"Ratings of movies, with times. Genres by class number: {', '.join(genres)}.",
        node_types={
            "user": NodeType(),
            "movie": NodeType(features=(Feature(name="decade", kind=FeatureKind.CATEGORICAL),)),
        },
        relations={"liked": Relation(from_task="like")},
        tasks={
            "like": Task(kind=TaskKind.BINARY, entity=("user", "movie")),
            "rating": Task(kind=TaskKind.REGRESSION, entity=("user", "movie"), role="auxiliary"),
            "genre": Task(
                kind=TaskKind.MULTILABEL, entity="movie", classes=len(genres), also=("macro_f1",)
            ),
        },
        split=Split(by="time"),
    )


def read_ratings_and_movies(source: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``user, movie, rating, time``; and ``id, title, year, genres`` (names, maybe none)."""
    ratings = read_table(
        source / "ratings.dat",
        {"user": Kind.INTEGER, "movie": Kind.TEXT, "rating": Kind.INTEGER, "time": Kind.INTEGER},
        separator="::",
    )
    return ratings, _movies(source / "movies.dat", ratings)


def _movies(path: Path, ratings: pl.DataFrame) -> pl.DataFrame:
    movies = read_table(
        path, {"id": Kind.TEXT, "title": Kind.TEXT, "genres": Kind.TEXT}, separator="::"
    ).with_columns(
        year=pl.col("title").str.extract(r"\((\d{4})\)$").cast(pl.Int64),
        genres=pl.col("genres").str.split("|").list.filter(pl.element() != ""),
    )
    if movies["year"].null_count():
        line = movies["year"].is_null().arg_max()
        assert line is not None
        raise UserError(f"{path}: line {line + 1}: title {movies['title'][line]!r} has no (year)")
    twice = movies["id"].filter(movies["id"].is_duplicated())
    if len(twice):
        raise UserError(f"{path}: movie {twice[0]} has several lines")
    unknown = ratings["movie"].filter(~ratings["movie"].is_in(movies["id"].implode()))
    if len(unknown):
        raise UserError(f"{path}: {len(unknown)} ratings are of movies not in it ({unknown[0]})")
    return movies.select("id", "title", "year", "genres")


def _pairs(ratings: pl.DataFrame, label: pl.Expr) -> pl.DataFrame:
    return ratings.select(src="user", dst="movie", label=label, time="time")


def _genre_rows(movies: pl.DataFrame, ratings: pl.DataFrame, genres: pl.Series) -> pl.DataFrame:
    first_rated = ratings.group_by("movie").agg(pl.col("time").min())
    return (
        movies.filter(pl.col("genres").list.len() > 0)
        .join(first_rated, left_on="id", right_on="movie", maintain_order="left")
        .select("id", label=genre_numbers(genres.to_list()), time="time")
    )


def genre_numbers(genres: list[str]) -> pl.Expr:
    """Ascending class numbers of a movie's ``genres``, by their place in the list."""
    numbers = {genre: number for number, genre in enumerate(genres)}
    label = pl.element().replace_strict(numbers, return_dtype=pl.Int64)
    return pl.col("genres").list.eval(label).list.sort()
