import pytest

from counterpoint.data.importers import IMPORTERS, import_dataset
from counterpoint.errors import UserError


@pytest.fixture
def movies(tmp_path, write_lines):
    source = tmp_path / "source"
    write_lines(source / "ratings.dat", "1::007::9::50")
    write_lines(source / "movies.dat", "007::Goldfinger (1964)::Action")
    return source


def test_every_name_has_a_reader():
    from importlib import import_module

    for name in IMPORTERS:
        assert callable(import_module(f"counterpoint.data.importers.{name}").read)


def test_counts_that_differ_are_refused_with_file_what_found_and_published(movies, tmp_path):
    with pytest.raises(UserError) as refused:
        import_dataset("movietweetings", movies, tmp_path / "target")
    line = f"{movies / 'ratings.dat'}: 1 ratings, published are 10000; "
    assert any(fault.startswith(line) for fault in refused.value.faults)
    assert not (tmp_path / "target").exists()


def test_counts_can_be_accepted_and_are_returned(movies, tmp_path):
    counts = import_dataset("movietweetings", movies, tmp_path / "target", accept_counts=True)
    assert (counts[0].what, counts[0].found, counts[0].published) == ("ratings", 1, 10000)


def test_unknown_name(tmp_path):
    with pytest.raises(UserError, match="'nothing' is unknown; there are: acm"):
        import_dataset("nothing", tmp_path, tmp_path / "target")


def test_missing_source(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        import_dataset("cora", tmp_path / "nowhere", tmp_path / "target")


def test_a_folder_that_is_no_data_set_is_never_replaced(movies, tmp_path):
    with pytest.raises(UserError, match="is no data-set folder"):
        import_dataset("movietweetings", movies, movies, accept_counts=True)
    assert (movies / "ratings.dat").is_file()


def test_a_data_set_folder_is_replaced(movies, tmp_path, write_lines):
    target = tmp_path / "target"
    import_dataset("movietweetings", movies, target, accept_counts=True)
    (target / "stale").touch()
    import_dataset("movietweetings", movies, target, accept_counts=True)
    assert not (target / "stale").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_the_package_imports_without_polars():
    import subprocess
    import sys

    code = "import sys, counterpoint.data.importers; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
