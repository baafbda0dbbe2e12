import pytest

from counterpoint.data.importers.kuairand_features import USER_CATEGORICAL, USER_NUMERIC

LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab"
)
VIDEOS = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag"
)


def log(*rows):
    """Header and rows of (user, video, time, click, long view); other columns would tell."""
    yield LOG
    for user, video, time, click, long in rows:
        yield f"{user},{video},20220408,1600,{time},{click},0,0,0,0,0,{long},9,9,0,0,0,0,1"


def users(*rows):
    """Header and rows of (user, fans)."""
    columns = ("user_id", *USER_NUMERIC, *USER_CATEGORICAL)
    yield ",".join(columns)
    for user, fans in rows:
        values = dict.fromkeys(columns, "1") | {"user_id": str(user), "fans_user_num": str(fans)}
        yield ",".join((values | {"onehot_feat4": ""}).values())


@pytest.fixture
def source(tmp_path, write_lines):
    data = tmp_path / "source" / "data"
    write_lines(
        data / "log_standard_4_08_to_4_21_pure.csv", *log((1, 7, 30, 0, 0), (2, 7, 20, 1, 1))
    )
    write_lines(
        data / "log_standard_4_22_to_5_08_pure.csv", *log((1, 8, 60, 1, 0), (1, 7, 50, 1, 1))
    )
    write_lines(data / "log_random_4_22_to_5_08_pure.csv", *log((1, 8, 40, 0, 0), (2, 9, 70, 0, 0)))
    write_lines(data / "user_features_pure.csv", *users((1, 10), (2, 20)))
    write_lines(
        data / "video_features_basic_pure.csv",
        VIDEOS,
        '7,100,NORMAL,2022-04-09,ShortImport,0.0,5000.0,720.0,1280.0,4,9.0,"39,2"',
        "8,100,AD,2022-04-09,Web,0.0,,720.0,1280.0,5,,2",
        "9,300,NORMAL,2022-04-09,Web,0.0,7000.0,720.0,1280.0,6,4.0,",
    )
    write_lines(data / "video_features_statistic_pure.csv", "this file is not read")
    return tmp_path / "source"


def test_the_first_showing_of_a_pair_by_time_in_whatever_log(source, imported):
    folder = imported("kuairand", source)
    columns = ("src", "dst", "label", "time")
    clicks = folder.scan("tasks/click").select(columns).collect().rows()
    assert clicks == [(2, 7, 1, 20), (1, 7, 0, 30), (1, 8, 0, 40), (2, 9, 0, 70)]
    long_views = folder.scan("tasks/long_view").select(columns).collect().rows()
    assert long_views == [(2, 7, 1, 20), (1, 7, 0, 30), (1, 8, 0, 40), (2, 9, 0, 70)]
    assert folder.schema.split.by == "time"


def test_long_view_is_the_published_column(source, imported, write_lines):
    # a video of unknown duration stands with 0, so played for longer than that says nothing
    write_lines(
        source / "data" / "log_standard_4_08_to_4_21_pure.csv",
        *log((1, 7, 10, 1, 0), (2, 7, 20, 0, 1)),
    )
    rows = imported("kuairand", source).scan("tasks/long_view").collect()["label"].to_list()
    assert rows[:2] == [0, 1]


def test_features_and_edges(source, imported):
    folder = imported("kuairand", source)
    user = folder.scan("nodes/user").select("id", "fans_user_num", "onehot_feat4").collect()
    assert user.rows() == [(1, 10, ""), (2, 20, "")]
    video = folder.scan("nodes/video").select("id", "video_duration", "music_type").collect()
    assert video.rows() == [(7, 5000, "9.0"), (8, 0, ""), (9, 7000, "4.0")]
    made_by = folder.scan("relations/made_by").collect().rows()
    assert made_by == [(7, 100), (8, 100), (9, 300)]
    assert folder.scan("relations/tagged").collect().rows() == [(7, "39"), (7, "2"), (8, "2")]
    assert folder.scan("nodes/author").collect()["id"].to_list() == [100, 300]
    assert folder.scan("nodes/tag").collect()["id"].to_list() == ["39", "2"]


def test_what_happens_after_the_click_is_no_feature(source, imported):
    folder = imported("kuairand", source)
    names = {f.name for node in folder.schema.node_types.values() for f in node.features}
    assert not [n for n in names if n.startswith(("is_click", "long_", "play_", "like_", "show_"))]


def test_parts_of_a_log_are_read_in_order(source, imported, write_lines):
    data = source / "data"
    for path in list(data.iterdir()):
        path.rename(path.with_name(path.name.replace("_pure", "_27k")))
    whole = data / "log_standard_4_22_to_5_08_27k.csv"
    header, *rows = whole.read_text().splitlines()
    whole.unlink()
    for number, row in enumerate(rows, start=1):
        write_lines(whole.with_name(f"{whole.stem}_part{number}.csv"), header, row)
    assert imported("kuairand", data).scan("tasks/click").collect().height == 4


def test_bad_files(source, write_lines, refusal):
    path = source / "data" / "log_random_4_22_to_5_08_pure.csv"
    write_lines(path, *log((1, 8, "late", 0, 0)))
    assert refusal("kuairand", source) == f"{path}: line 2: column time_ms: 'late' is no integer"
    path.unlink()
    assert refusal("kuairand", source) == f"{source / 'data'}: holds no {path.name}"
    videos = source / "data" / "video_features_basic_pure.csv"
    write_lines(videos, VIDEOS, "7,100,NORMAL,2022-04-09,Web,0.0,long,1,1,4,9.0,2")
    assert "column video_duration: 'long' is no finite number, nor empty" in refusal(
        "kuairand", source
    )
