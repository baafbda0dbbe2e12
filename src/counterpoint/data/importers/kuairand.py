"""KuaiRand: the files of its authors, or all joined into one CSV (Scenario-Wise-Rec's layout)."""

from pathlib import Path

import polars as pl

from counterpoint.data.importers.csv_files import CheckedCsv, checked_csv, header
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.kuairand_features import (
    USER_CATEGORICAL,
    USER_NUMERIC,
    node_type,
)
from counterpoint.data.importers.kuairand_raw import raw_version, read_raw
from counterpoint.data.importers.text_files import Kind, existing_file
from counterpoint.data.schema import DataSchema, Relation, Split, Task, TaskKind

FILES = ("kuairand.csv", "kuairand_sample.csv")
TIME = "time_ms"
LONG_VIEW_MS = 18_000
VIDEO_NUMERIC = ("duration_ms", "server_width", "server_height")
VIDEO_CATEGORICAL = ("video_type", "visible_status")


def read(source: Path) -> Imported:
    """Tasks ``click`` and ``long_view`` on [user, video]; raw logs go before a joined file."""
    raw = raw_version(source)
    return read_raw(*raw) if raw is not None else _read_joined(source)


def _read_joined(source: Path) -> Imported:
    """Tables of the joined file.

    A pair that was shown several times stands with its first row, a user and a video with the
    features of theirs. Time spent on profile and comments comes after the click and is no feature.
    The split is by time where the file has the column time_ms, else random.
    """
    file = _checked(existing_file(source, *FILES))
    timed = TIME in file.columns
    rows = file.scan()
    shown = rows.unique(["user_id", "video_id"], keep="first", maintain_order=True)
    # KuaiRand's own definition of long_view
    enough = pl.min_horizontal("duration_ms", pl.lit(LONG_VIEW_MS))
    labels = {
        "click": pl.col("is_click"),
        "long_view": (pl.col("play_time_ms") >= enough).cast(pl.Int8),
    }
    time = {"time": pl.col(TIME)} if timed else {}
    tables = {
        "nodes/user": _first_rows(rows, "user_id", USER_NUMERIC + USER_CATEGORICAL),
        "nodes/video": _first_rows(rows, "video_id", VIDEO_NUMERIC + VIDEO_CATEGORICAL),
        **{
            f"tasks/{task}": shown.select(src="user_id", dst="video_id", label=label, **time)
            for task, label in labels.items()
        },
    }
    counts = [
        Count("impressions", file.totals["rows"], file=file.path.name),
        Count("clicks", file.totals["is_click"], file=file.path.name),
    ]
    return Imported(_schema(tuple(labels), timed), tables, counts)


def _checked(path: Path) -> CheckedCsv:
    columns = {
        **dict.fromkeys(("user_id", "video_id"), Kind.INTEGER),
        "is_click": Kind.LABEL,
        **dict.fromkeys(("play_time_ms", *USER_NUMERIC, *VIDEO_NUMERIC), Kind.NUMBER),
        **dict.fromkeys((*USER_CATEGORICAL, *VIDEO_CATEGORICAL), Kind.TEXT),
    }
    return checked_csv(path, {**columns, TIME: Kind.INTEGER} if TIME in header(path) else columns)


def _schema(tasks: tuple[str, ...], timed: bool) -> DataSchema:
    return DataSchema(
        name="kuairand",
        description=(
            "Short videos shown to users. long_view: played to the end, or for 18 seconds."
        ),
        node_types={
            "user": node_type(USER_NUMERIC, USER_CATEGORICAL),
            "video": node_type(VIDEO_NUMERIC, VIDEO_CATEGORICAL),
        },
        relations={"clicked": Relation(from_task="click")},
        tasks={task: Task(kind=TaskKind.BINARY, entity=("user", "video")) for task in tasks},
        split=Split(by="time" if timed else "random"),
    )


def _first_rows(rows: pl.LazyFrame, key: str, features: tuple[str, ...]) -> pl.LazyFrame:
    return (
        rows.select(key, *features)
        .unique(key, keep="first", maintain_order=True)
        .rename({key: "id"})
    )
