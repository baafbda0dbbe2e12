import pytest
import torch

from counterpoint.graph.ops import Csr


def ids(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def test_edges_are_sorted_by_destination_then_source():
    csr, order = Csr.from_edges(ids(2, 0, 1, 0), ids(1, 1, 0, 1), n_src=3, n_dst=3)
    assert csr.indptr.tolist() == [0, 1, 4, 4]
    assert csr.indices.tolist() == [1, 0, 0, 2]
    assert csr.dst.tolist() == [0, 1, 1, 1]
    assert order.tolist() == [2, 1, 3, 0]
    assert (csr.n_src, csr.n_dst, csr.n_edges) == (3, 3, 4)


def test_transpose_lists_the_same_edges_by_source(csr):
    transpose = csr.transpose
    src = torch.arange(csr.n_src).repeat_interleave(transpose.indptr.diff())
    assert torch.equal(src, csr.indices[transpose.order])
    assert torch.equal(transpose.indices, csr.dst[transpose.order])
    assert csr.transpose is transpose


def test_kept_equals_the_graph_of_the_kept_edges(csr):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        mask = torch.rand(csr.n_edges, generator=generator) < 0.5
        expected, _ = Csr.from_edges(csr.indices[mask], csr.dst[mask], csr.n_src, csr.n_dst)
        kept = csr.kept(mask)
        assert torch.equal(kept.indptr, expected.indptr)
        assert torch.equal(kept.indices, expected.indices)
        assert kept.n_src == csr.n_src


def test_to_its_own_device_keeps_what_was_made(csr):
    assert csr.to("cpu") is csr
    moved = csr.to("meta")
    assert moved.indptr.is_meta
    assert moved.indices.is_meta
    assert moved.n_src == csr.n_src


@pytest.mark.parametrize(
    ("src", "dst", "message"),
    [
        (ids(0, 1), ids(0), r"src \[2\] and dst \[1\]"),
        (ids(0, 3, -1), ids(0, 0, 0), r"src: 2 of 3 ids are not in 0\.\.2"),
        (ids(0), ids(2), r"dst: 1 of 1 ids are not in 0\.\.1"),
        (ids(0).int(), ids(0), "src must be int64, not torch.int32"),
    ],
)
def test_refuses_bad_ids(src, dst, message):
    with pytest.raises(ValueError, match=message):
        Csr.from_edges(src, dst, n_src=3, n_dst=2)


def test_distinct_takes_parallel_edges_once():
    src, dst = ids(1, 0, 1, 1, 2, 1), ids(0, 0, 0, 1, 1, 1)
    csr, _ = Csr.from_edges(src, dst, n_src=3, n_dst=3)
    for order in (ids(0, 1, 2, 3, 4, 5), ids(2, 0, 1, 5, 4, 3)):  # the runs in any order
        some = Csr(csr.indptr, csr.indices[order], 3).distinct()
        assert some.indptr.tolist() == [0, 2, 4, 4]
        found = set(zip(some.dst.tolist(), some.indices.tolist(), strict=True))
        assert found == {(0, 0), (0, 1), (1, 1), (1, 2)}
        assert some.distinct() is some
    empty = Csr(ids(0, 0), ids(), 2)
    assert empty.distinct() is empty


@pytest.mark.parametrize("with_transpose", [False, True])
def test_among_some_nodes_equals_the_graph_of_those_nodes(with_transpose):
    """Destinations are the first sources; the edges join nodes of the mask alone."""
    mask = torch.tensor([True, False, True, True, False, True])  # 0 2 3 5 become 0 1 2 3
    csr, _ = Csr.from_edges(ids(5, 3, 0, 2, 5), ids(0, 0, 2, 3, 3), n_src=6, n_dst=4)
    if with_transpose:
        assert csr.transpose
    found = csr.among(mask)
    expected, _ = Csr.from_edges(ids(3, 2, 0, 1, 3), ids(0, 0, 1, 2, 2), n_src=4, n_dst=3)
    assert ("transpose" in vars(found)) == with_transpose
    for one, other in (
        (found.indptr, expected.indptr),
        (found.indices, expected.indices),
        *zip(found.transpose, expected.transpose, strict=True),
    ):
        assert torch.equal(one, other)
    assert found.n_src == 4
