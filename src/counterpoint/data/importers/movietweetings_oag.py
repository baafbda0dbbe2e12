"""MovieTweetings as AUX-TS has OAG: genres of new movies, old ones to pre-train on.

The protocol is METHODS B.8: papers before 2014 are pre-trained on, those of three years are
trained on, those of the next validate, the rest tests; here movies by their year of release.
"""

from pathlib import Path

import polars as pl

from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.movietweetings import (
    LIKED_FROM,
    counts_of,
    genre_numbers,
    read_ratings_and_movies,
)
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

TRAIN_FROM, VALID_FROM, TEST_FROM = 2008, 2011, 2012
FEWEST = 5  # titles that a word must be in, and ratings that a user must have


def read(source: Path) -> Imported:
    """Task ``genre`` on movies from 2008; older ones have no row, those without a genre are out.

    Every node has features, as in OAG, so that what is learnt of old movies is of use for new
    ones: movies the words of their titles, users the number of old movies that they rated. Ratings
    are edges, of one relation from 8 on and of another below: the task's labels are not in them.
    """
    ratings, every_movie = read_ratings_and_movies(source)
    movies = every_movie.filter(pl.col("genres").list.len() > 0)
    genres = movies["genres"].explode(empty_as_null=True).drop_nulls().unique().sort().to_list()
    rated = ratings.join(movies, left_on="movie", right_on="id").filter(
        pl.len().over("user") >= FEWEST
    )
    words, size = _title_words(movies)
    labelled = movies.filter(pl.col("year") >= TRAIN_FROM).select(
        "id",
        label=genre_numbers(genres),
        split=pl.when(pl.col("year") >= TEST_FROM)
        .then(pl.lit("test"))
        .when(pl.col("year") >= VALID_FROM)
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train")),
    )
    if not size or not rated.height or labelled["split"].n_unique() < 3:
        raise UserError(
            f"{source}: too small: 2008 to 2010, 2011 and the years after need movies each, some "
            f"word must be in {FEWEST} titles, some user must have {FEWEST} ratings"
        )
    liked = pl.col("rating") >= LIKED_FROM
    tables = {
        "nodes/user": rated.group_by(id="user")
        .agg(activity=(pl.col("year") < TRAIN_FROM).sum().cast(pl.Float64).log1p())
        .sort("id"),
        "nodes/movie": movies.select("id").with_columns(words=words),
        "relations/liked": _edges(rated.filter(liked)),
        "relations/rated_lower": _edges(rated.filter(~liked)),
        "tasks/genre": labelled,
    }
    counts = [
        *counts_of(ratings, every_movie),
        Count("words in titles", size),
        Count(f"users with {FEWEST} ratings", tables["nodes/user"].height),
    ]
    for split in ("train", "valid", "test"):
        counts.append(Count(f"movies in {split}", labelled.filter(split=split).height))
    return Imported(_schema(genres, size), tables, counts)


def _edges(rated: pl.DataFrame) -> pl.DataFrame:
    return rated.select(src="user", dst="movie").unique().sort("src", "dst")


def _title_words(movies: pl.DataFrame) -> tuple[pl.Series, int]:
    """Ascending word numbers of each title, and how many there are; test titles choose none."""
    split = movies.with_columns(
        word=pl.col("title").str.replace(r"\s*\(\d{4}\)$", "").str.to_lowercase()
    ).with_columns(word=pl.col("word").str.extract_all(r"[\p{L}\p{N}]+").list.unique())
    long = split.select("id", "year", "word").explode("word", empty_as_null=True).drop_nulls("word")
    often = long.filter(pl.col("year") < VALID_FROM).group_by("word").len()
    known = often.filter(pl.col("len") >= FEWEST).select("word").sort("word").with_row_index("n")
    bags = long.join(known, on="word").group_by("id").agg(pl.col("n").cast(pl.Int64).sort())
    found = movies.join(bags, on="id", how="left", maintain_order="left")["n"]
    return found.fill_null(pl.Series([[]], dtype=pl.List(pl.Int64))), known.height


def _schema(genres: list[str], words: int) -> DataSchema:
    return DataSchema(
        name="movietweetings_oag",
        description=(
            "Genres of movies from 2008, split by year; older movies are there to be pre-trained "
            f"on. Genres by class number: {', '.join(genres)}."
        ),
        node_types={
            "user": NodeType(features=(Feature(name="activity", kind=FeatureKind.NUMERIC),)),
            "movie": NodeType(features=(Feature(name="words", kind=FeatureKind.BAG, size=words),)),
        },
        relations={
            "liked": Relation(src="user", dst="movie"),
            "rated_lower": Relation(src="user", dst="movie"),
        },
        tasks={
            "genre": Task(
                kind=TaskKind.MULTILABEL,
                entity="movie",
                classes=len(genres),
                metric="ndcg_paper",
                also=("mrr",),
            )
        },
        split=Split(by="given"),
    )
