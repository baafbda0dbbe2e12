import pytest

from counterpoint.data.importers.kuairand import (
    USER_CATEGORICAL,
    USER_NUMERIC,
    VIDEO_CATEGORICAL,
    VIDEO_NUMERIC,
)

COLUMNS = (
    "user_id",
    "video_id",
    "is_click",
    "play_time_ms",
    *USER_NUMERIC,
    *USER_CATEGORICAL,
    *VIDEO_NUMERIC,
    *VIDEO_CATEGORICAL,
)


def lines(rows, *more):
    """Header and rows of (user, video, click, played, duration, fans, *more)."""
    yield ",".join((*COLUMNS, "comment_stay_time", *more))
    for user, video, click, played, duration, fans, *others in rows:
        values = dict.fromkeys(COLUMNS, "1") | {
            "user_id": str(user),
            "video_id": str(video),
            "is_click": str(click),
            "play_time_ms": str(played),
            "duration_ms": str(duration),
            "fans_user_num": str(fans),
        }
        yield ",".join((*values.values(), "99", *map(str, others)))


ROWS = [
    (1, 7, 0, 5_000, 6_000, 10),
    (1, 7, 1, 6_000, 6_000, 11),
    (2, 7, 1, 6_000, 6_000, 20),
    (2, 8, 1, 18_000, 60_000, 21),
    (1, 8, 0, 17_999, 60_000, 12),
]


@pytest.fixture
def source(tmp_path, write_lines):
    write_lines(tmp_path / "source" / "kuairand.csv", *lines(ROWS))
    return tmp_path / "source"


def test_first_rows_of_pairs_users_and_videos(source, imported):
    folder = imported("kuairand", source)
    clicks = folder.scan("tasks/click").collect().rows()
    assert clicks == [(1, 7, 0), (2, 7, 1), (2, 8, 1), (1, 8, 0)]
    users = folder.scan("nodes/user").select("id", "fans_user_num").collect().rows()
    assert users == [(1, 10), (2, 20)]
    videos = folder.scan("nodes/video").select("id", "duration_ms").collect().rows()
    assert videos == [(7, 6000), (8, 60000)]
    assert folder.schema.split.by == "random"


def test_long_view_is_to_the_end_or_18_seconds(source, imported):
    rows = imported("kuairand", source).scan("tasks/long_view").collect().rows()
    assert rows == [(1, 7, 0), (2, 7, 1), (2, 8, 1), (1, 8, 0)]


def test_what_happens_after_the_click_is_no_feature(source, imported):
    folder = imported("kuairand", source)
    names = {f.name for node in folder.schema.node_types.values() for f in node.features}
    assert not names & {"is_click", "play_time_ms", "comment_stay_time", "profile_stay_time"}


def test_split_by_time_where_there_is_one(source, imported, write_lines):
    timed = [(*row, 1000 + place) for place, row in enumerate(ROWS)]
    write_lines(source / "kuairand.csv", *lines(timed, "time_ms"))
    folder = imported("kuairand", source)
    assert folder.schema.split.by == "time"
    assert folder.scan("tasks/click").collect()["time"].to_list() == [1000, 1002, 1003, 1004]


def test_bad_files(source, write_lines, refusal):
    path = write_lines(source / "kuairand.csv", *lines([(1, "x", 0, 1, 1, 1)]))
    assert refusal("kuairand", source) == f"{path}: line 2: column video_id: 'x' is no integer"
    path.unlink()
    assert "holds no kuairand.csv or kuairand_sample.csv" in refusal("kuairand", source)


@pytest.mark.realdata
def test_the_public_layout(real_data, imported):
    folder = imported("kuairand", real_data / "mtl_samples")
    clicks = folder.scan("tasks/click").collect()
    assert (clicks.height, clicks["label"].sum()) == (200, 32)
    assert folder.scan("nodes/user").collect().height == 145
    assert folder.scan("nodes/video").collect().height == 29
