import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from counterpoint.data.checks import faults
from counterpoint.data.folder import DataFolder, open_folder
from counterpoint.data.importers import import_dataset
from counterpoint.errors import UserError


@pytest.fixture
def write_lines() -> Callable[..., Path]:
    """Write the lines of a text file; return its path."""

    def write(path: Path, *lines: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., DataFolder]:
    """Import a data set and return its folder, which must pass the checks of data."""

    def run(name: str, source: Path, accept_counts: bool = True) -> DataFolder:
        target = tmp_path / "imported"
        import_dataset(name, source, target, accept_counts)
        folder = open_folder(target)
        few_rows = "needs both classes"  # of a label in each split: no matter in a handful of rows
        assert [fault for fault in faults(folder) if few_rows not in fault] == []
        return folder

    return run


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """Import what must be refused; the one line that says why, with nothing written."""

    def run(name: str, source: Path) -> str:
        with pytest.raises(UserError) as refused:
            import_dataset(name, source, tmp_path / "refused", accept_counts=True)
        assert not (tmp_path / "refused").exists()
        message = str(refused.value)
        assert "\n" not in message
        return message

    return run


KNOWN, TESTED, WORDS = 503, 3, 4
TEST_ORDER = (505, 503, 504)


@pytest.fixture
def cora_files(tmp_path: Path, python2_pickle: Callable[[object], bytes]) -> Path:
    """One training, 500 valid and 2 unlabelled papers, then 3 test papers in shuffled order."""
    folder = tmp_path / "source"
    folder.mkdir()
    known = np.arange(KNOWN)
    words = np.eye(WORDS, dtype="<f4")
    classes = np.eye(3, dtype="<i4")
    links = {node: [(node + 1) % 506] for node in range(506)} | {0: [1, 1, 0], 1: [0, 2]}
    parts = {
        "y": classes[[2]],
        "ally": classes[np.r_[2, known[1:] % 3]],
        "allx": sparse.csr_matrix(words[known % WORDS]),
        "ty": classes[[0, 1, 2]],
        "tx": sparse.csr_matrix(words[[3, 2, 1]]),
        "graph": links,
    }
    for name, part in parts.items():
        (folder / f"ind.cora.{name}").write_bytes(python2_pickle(part))
    (folder / "ind.cora.test.index").write_text("".join(f"{paper}\n" for paper in TEST_ORDER))
    return folder


@pytest.fixture(scope="session")
def python2_pickle() -> Callable[[object], bytes]:
    """A value as Python 2 pickled it: protocol 2, old module names, latin-1 byte strings."""
    return lambda value: b"\x80\x02" + _encoded(value) + b"."


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _text(value: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(value)) + value


def _encoded(value: object) -> bytes:
    if isinstance(value, sparse.csr_matrix):
        parts = {"_shape": value.shape}
        parts |= {name: getattr(value, name) for name in ("data", "indices", "indptr")}
        state = b"".join(_text(key.encode()) + _encoded(part) for key, part in parts.items())
        return b"cscipy.sparse.csr\ncsr_matrix\n)\x81}(" + state + b"ub"
    if isinstance(value, np.ndarray):
        code = value.dtype.str[1:].encode()
        dtype = b"cnumpy\ndtype\n(" + _text(code) + _integer(0) + _integer(1) + b"tR("
        dtype += _integer(3) + _text(b"<") + b"NNN" + _integer(-1) * 2 + _integer(0) + b"tb"
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n("
        made += _integer(0) + b"t" + _text(b"b") + b"tR"
        shape = b"(" + b"".join(_integer(size) for size in value.shape) + b"t"
        return made + b"(" + _integer(1) + shape + dtype + b"\x89" + _text(value.tobytes()) + b"tb"
    if isinstance(value, tuple):
        return b"(" + b"".join(_encoded(part) for part in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(_encoded(part) for part in value) + b"e"
    if isinstance(value, dict):
        pairs = b"".join(_encoded(key) + _encoded(part) for key, part in value.items())
        return b"ccollections\ndefaultdict\n(c__builtin__\nlist\ntR(" + pairs + b"u"
    assert isinstance(value, int)
    return _integer(value)
