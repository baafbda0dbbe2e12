"""No command in the documentation is left out in silence."""

from pathlib import Path

import pytest

from tests.end_to_end.how_to.pages import (
    NOT_HERE,
    ROOT,
    SHELL,
    blocks,
    follow,
    markdown_files,
    script,
)

PAGES = {path.relative_to(ROOT).as_posix(): list(blocks(path)) for path in markdown_files()}
TYPED = {name: [b.text for b in found if b.language == SHELL] for name, found in PAGES.items()}


def test_every_page_with_commands_is_followed_by_a_test_of_its_own() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests/end_to_end/how_to").glob("test_*"))
    pages = [name for name, typed in TYPED.items() if not NOT_HERE.keys() >= set(typed)]
    assert len(pages) > 5
    assert [name for name in pages if f'("{name}")' not in tests] == []


@pytest.mark.parametrize("text", NOT_HERE)
def test_what_is_not_run_is_still_there(text: str) -> None:
    assert any(text in typed for typed in TYPED.values())


def test_commands_are_in_blocks_that_say_so() -> None:
    assert {block.language for found in PAGES.values() for block in found} <= {
        SHELL, "python", "yaml", "console", "",
    }  # fmt: skip  # console: what a program wrote down, with what was answered
    plain = [block.text for found in PAGES.values() for block in found if not block.language]
    assert not [text for text in plain if "counterpoint " in text or "dvc " in text]


def test_a_page_becomes_a_script(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = (
        "Say `a/b.yaml`:\n\n```yaml\nx: 1\n```\n\n```sh\ncat a/b.yaml\nfalse   # exit code 1\n```\n"
    )
    page.write_text(text)
    assert script(str(page)).splitlines()[1:] == [
        "cat >'a/b.yaml' <<'END OF FILE'",
        "x: 1",
        "END OF FILE",
        "cat a/b.yaml",
        "code=0; false || code=$?; test $code = 1",
    ]


@pytest.mark.parametrize(
    "typed", ["false\ntrue", "false | true", "echo $nowhere", "true   # exit code 1"]
)
def test_a_page_that_does_not_work_fails(tmp_path: Path, typed: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{typed}\n```\n")
    with pytest.raises(AssertionError, match="exit code 1"):
        follow(script(str(page)), tmp_path)
