"""KuaiRand as its authors publish it: three logs, and tables of users and videos.

Read are ``log_standard_4_08_to_4_21``, ``log_standard_4_22_to_5_08``,
``log_random_4_22_to_5_08``, ``user_features`` and ``video_features_basic``, each with the
version's ending (``_pure.csv``, ``_1k.csv``, or ``_27k.csv`` in parts). Files may be larger than
memory. Fields: https://github.com/chongminggao/KuaiRand, README.
"""

from pathlib import Path

import polars as pl

from counterpoint.data.importers.csv_files import CheckedCsv, checked_csv
from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.kuairand_features import (
    USER_CATEGORICAL,
    USER_NUMERIC,
    node_type,
)
from counterpoint.data.importers.text_files import Kind
from counterpoint.data.schema import DataSchema, NodeType, Relation, Split, Task, TaskKind
from counterpoint.errors import UserError

STANDARD = ("log_standard_4_08_to_4_21", "log_standard_4_22_to_5_08")
RANDOM = ("log_random_4_22_to_5_08",)
VIDEO_NUMERIC = ("video_duration", "server_width", "server_height")
VIDEO_CATEGORICAL = ("video_type", "upload_type", "visible_status", "music_type")
# of each version: users, standard and random impressions
PUBLISHED = {
    "pure": (27_285, 1_436_609, 1_186_059),
    "1k": (1_000, 11_713_045, 43_028),
    "27k": (27_285, 322_278_385, 1_186_059),
}
LABELS = {"click": "is_click", "long_view": "long_view"}
LOG_COLUMNS = {
    **dict.fromkeys(("user_id", "video_id", "time_ms"), Kind.INTEGER),
    **dict.fromkeys(LABELS.values(), Kind.LABEL),
}
USER_COLUMNS = {
    "user_id": Kind.INTEGER,
    **dict.fromkeys(USER_NUMERIC, Kind.NUMBER),
    **dict.fromkeys(USER_CATEGORICAL, Kind.MAYBE_TEXT),
}
VIDEO_COLUMNS = {
    **dict.fromkeys(("video_id", "author_id"), Kind.INTEGER),
    **dict.fromkeys(VIDEO_NUMERIC, Kind.MAYBE_NUMBER),
    **dict.fromkeys((*VIDEO_CATEGORICAL, "tag"), Kind.MAYBE_TEXT),
}


def raw_version(source: Path) -> tuple[Path, str] | None:
    """The folder that holds the raw files, ``source`` or its ``data``, and which version it is."""
    for folder in (source, source / "data"):
        for version in PUBLISHED:
            if any(folder.glob(f"log_*_{version}*.csv")):
                return folder, version
    return None


def read_raw(folder: Path, version: str) -> Imported:
    """Tasks ``click`` and ``long_view`` on [user, video], split by time.

    A pair that was shown several times, by whatever policy, stands with its first showing. An
    author and a tag of a video are nodes. video_features_statistic is not read: its counts of
    plays and likes are means over the whole month, test rows included.
    """
    users = _files(folder, f"user_features_{version}", USER_COLUMNS)
    videos = _files(folder, f"video_features_basic_{version}", VIDEO_COLUMNS)
    standard, random = (
        [file for log in logs for file in _files(folder, f"{log}_{version}", LOG_COLUMNS)]
        for logs in (STANDARD, RANDOM)
    )
    shown = (
        _rows([*standard, *random])
        .sort("time_ms", maintain_order=True)
        .unique(["user_id", "video_id"], keep="first", maintain_order=True)
    )
    tables = {
        "nodes/user": _rows(users).rename({"user_id": "id"}),
        **_video_tables(_rows(videos)),
        **{
            f"tasks/{task}": shown.select(
                src="user_id", dst="video_id", label=label, time="time_ms"
            )
            for task, label in LABELS.items()
        },
    }
    known_users, *known_rows = PUBLISHED[version]
    counts = [Count("users", _total(users, "rows"), known_users, file=users[0].path.name)]
    counts.append(Count("videos", _total(videos, "rows"), file=videos[0].path.name))
    for policy, files, known in zip(
        ("standard", "random"), (standard, random), known_rows, strict=True
    ):
        name = files[0].path.name
        counts.append(Count(f"{policy} impressions", _total(files, "rows"), known, file=name))
        counts.append(Count(f"{policy} clicks", _total(files, "is_click"), file=name))
    return Imported(_schema(), tables, counts)


def _files(folder: Path, stem: str, columns: dict[str, Kind]) -> list[CheckedCsv]:
    """The file called ``stem``, or its parts in order, checked."""
    paths = [folder / f"{stem}.csv"] if (folder / f"{stem}.csv").is_file() else []
    paths = paths or sorted(folder.glob(f"{stem}_part*.csv"))
    if not paths:
        raise UserError(f"{folder}: holds no {stem}.csv")
    return [checked_csv(path, columns) for path in paths]


def _rows(files: list[CheckedCsv]) -> pl.LazyFrame:
    return pl.concat([file.scan() for file in files])


def _total(files: list[CheckedCsv], what: str) -> int:
    return sum(file.totals[what] for file in files)


def _video_tables(videos: pl.LazyFrame) -> dict[str, pl.LazyFrame]:
    """Videos, their authors and their tags, which are numbers parted by commas."""
    tagged = (
        videos.select(src="video_id", dst=pl.col("tag").str.split(","))
        .explode("dst")
        .filter(pl.col("dst") != "")
        .unique(maintain_order=True)
    )
    made = videos.select(src="video_id", dst="author_id")
    return {
        "nodes/video": videos.select("video_id", *VIDEO_NUMERIC, *VIDEO_CATEGORICAL).rename(
            {"video_id": "id"}
        ),
        "nodes/author": made.select(id="dst").unique(maintain_order=True),
        "nodes/tag": tagged.select(id="dst").unique(maintain_order=True),
        "relations/made_by": made,
        "relations/tagged": tagged,
    }


def _schema() -> DataSchema:
    return DataSchema(
        name="kuairand",
        description=(
            "Short videos shown to users by Kuaishou's recommenders and, from 22 April, at random. "
            "long_view: played to the end, or for 18 seconds."
        ),
        node_types={
            "user": node_type(USER_NUMERIC, USER_CATEGORICAL),
            "video": node_type(VIDEO_NUMERIC, VIDEO_CATEGORICAL),
            "author": NodeType(),
            "tag": NodeType(),
        },
        relations={
            "made_by": Relation(src="video", dst="author"),
            "tagged": Relation(src="video", dst="tag"),
            "clicked": Relation(from_task="click"),
        },
        tasks={task: Task(kind=TaskKind.BINARY, entity=("user", "video")) for task in LABELS},
        split=Split(by="time"),
    )
