import pickle
import pickletools

import numpy as np
import pytest
from scipy import sparse

from counterpoint.data.importers.planetoid_pickle import read_array, read_csr, read_links
from counterpoint.errors import UserError


def _text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


def written(tmp_path, content: bytes):
    path = tmp_path / "ind.cora.part"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["<i4", "<i8", "<f4", "<f8"])
def test_arrays(tmp_path, python2_pickle, dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    found = read_array(written(tmp_path, python2_pickle(array)))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_sparse_matrices(tmp_path, python2_pickle):
    matrix = sparse.csr_matrix(np.array([[0.0, 1.0], [0.0, 0.0], [2.0, 3.0]], dtype=np.float32))
    found = read_csr(written(tmp_path, python2_pickle(matrix)))
    np.testing.assert_array_equal(found.toarray(), matrix.toarray())


def test_links(tmp_path, python2_pickle):
    links = {0: [1, 2], 1: [0], 2: [0]}
    assert read_links(written(tmp_path, python2_pickle(links))) == links


# each would run, or give access to more, if the machine looked it up
FORBIDDEN = [
    "os system",
    "posix system",
    "nt system",
    "subprocess Popen",
    "__builtin__ eval",
    "__builtin__ exec",
    "__builtin__ getattr",
    "__builtin__ open",
    "__builtin__ object",
    "builtins eval",
    "builtins list",
    "copyreg _reconstructor",
    "copy_reg _reconstructor",
    "codecs encode",
    "_codecs encode",
    "collections OrderedDict",
    "collections namedtuple",
    "operator attrgetter",
    "functools partial",
    "numpy load",
    "numpy fromfile",
    "numpy frombuffer",
    "numpy save",
    "numpy matrix",
    "numpy ndarray.tofile",
    "numpy lib.npyio.load",
    "numpy.core.multiarray scalar",
    "numpy.core.multiarray fromfile",
    "numpy._core.multiarray _reconstruct",
    "numpy.testing._private.utils runstring",
    "scipy.sparse load_npz",
    "scipy.sparse.csr csr_matrix.tofile",
    "scipy.sparse.csr os",
    "scipy.sparse._csr csr_matrix",
]


@pytest.mark.parametrize("forbidden", FORBIDDEN)
@pytest.mark.parametrize("read", [read_array, read_csr, read_links])
def test_any_other_name_is_refused_before_it_is_called(tmp_path, forbidden, read):
    module, name = forbidden.split()
    trace = tmp_path / "trace"
    argument = _text(f"touch {trace}".encode())
    old = b"c" + f"{module}\n{name}\n".encode() + b"(" + argument + b"tR."
    path = written(tmp_path, old)
    with pytest.raises(UserError) as refused:
        read(path)
    assert str(refused.value) == (
        f"{path}: no Planetoid file (it names {module}.{name}); get the original"
    )
    assert not trace.exists()


def test_names_from_the_stack_are_refused_too(tmp_path):
    texts = [b"\x8c" + bytes([len(part)]) + part for part in (b"os", b"system")]
    content = b"\x80\x04" + b"".join(texts) + b"\x93(" + _text(b"true") + b"tR."
    assert [op.name for op, _, _ in pickletools.genops(content)].count("STACK_GLOBAL") == 1
    with pytest.raises(UserError, match=r"it names os\.system"):
        read_array(written(tmp_path, content))


def test_registered_extensions_are_refused_too(tmp_path):
    import copyreg

    copyreg.add_extension("os", "system", 240)
    try:
        with pytest.raises(UserError, match=r"it names os\.system"):
            read_array(written(tmp_path, b"\x80\x02\x82\xf0(" + _text(b"true") + b"tR."))
    finally:
        copyreg.remove_extension("os", "system", 240)


def test_modern_pickles_of_objects_are_refused(tmp_path):
    class Gadget:
        def __reduce__(self):
            return print, ("run",)

    with pytest.raises(UserError, match=r"it names __builtin__\.print|it names builtins\.print"):
        read_array(written(tmp_path, pickle.dumps(Gadget())))


@pytest.mark.parametrize("code", [b"O8", b"S4", b"V8", b"M8"])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, python2_pickle, code):
    content = python2_pickle(np.arange(1, dtype="<i8")).replace(
        b"T\x02\x00\x00\x00i8", b"T\x02\x00\x00\x00" + code
    )
    with pytest.raises(UserError, match="an array of type <"):
        read_array(written(tmp_path, content))


def test_a_matrix_whose_numbers_point_outside_is_refused(tmp_path, python2_pickle):
    matrix = sparse.csr_matrix(np.eye(2, dtype=np.float32))
    matrix.indices[1] = 1_000_000
    with pytest.raises(UserError, match="no Planetoid file"):
        read_csr(written(tmp_path, python2_pickle(matrix)))


def test_broken_files(tmp_path, python2_pickle):
    whole = python2_pickle(np.arange(3))
    with pytest.raises(UserError, match="part: no such file"):
        read_array(tmp_path / "part")
    longer = whole.replace(b"J\x03\x00\x00\x00t", b"J\x04\x00\x00\x00t")
    for content in (whole[:-20], b"", b"no pickle", longer):
        with pytest.raises(UserError, match="no Planetoid file") as refused:
            read_array(written(tmp_path, content))
        assert "\n" not in str(refused.value)


def test_another_content_than_asked_for(tmp_path, python2_pickle):
    path = written(tmp_path, python2_pickle({0: [1]}))
    with pytest.raises(UserError, match="it holds a defaultdict"):
        read_array(path)
    words = python2_pickle({0: [7]}).replace(b"J\x07\x00\x00\x00", _text(b"x"))
    path = written(tmp_path, words)
    with pytest.raises(UserError, match="anything but integers"):
        read_links(path)
