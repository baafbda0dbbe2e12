from hashlib import sha256

import numpy as np

from counterpoint.registry.identity import entity_hashes

IDS = {"user": np.array(["a", "b", "7"], dtype=object), "item": np.array([7, 8, 9])}


def test_an_identity_follows_from_external_ids_alone():
    pairs = np.array([[0, 0], [1, 2], [2, 1]])
    found = entity_hashes(("user", "item"), pairs, IDS)
    order = [2, 0, 1]
    elsewhere = {name: ids[order] for name, ids in IDS.items()}
    moved = np.argsort(order)[pairs]
    np.testing.assert_array_equal(entity_hashes(("user", "item"), moved, elsewhere), found)
    assert found.dtype == np.int64
    assert entity_hashes(("user",), np.array([2]), IDS) == entity_hashes(
        ("item",), np.array([0]), IDS
    )


def test_an_identity_is_the_one_that_older_bundles_hold():
    """By plain integers: SplitMix64 over the first eight bytes of each id's SHA-256, in turn."""

    def mixed(word):
        word = (word + 0x9E3779B97F4A7C15) % 2**64
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return word ^ (word >> 31)

    b, nine = (int.from_bytes(sha256(one).digest()[:8], "little") for one in (b"b", b"9"))
    expected = mixed((mixed(b) + nine) % 2**64)
    found = entity_hashes(("user", "item"), np.array([[1, 2]]), IDS)
    assert int(found.view(np.uint64)[0]) == expected


def test_pairs_have_a_direction_and_do_not_fall_together():
    ids = {"node": np.arange(300)}
    pairs = np.stack(np.meshgrid(np.arange(300), np.arange(300)), -1).reshape(-1, 2)
    found = entity_hashes(("node", "node"), pairs, ids)
    assert len(np.unique(found)) == len(pairs)
    assert len(np.unique(entity_hashes(("node",), np.arange(300), ids))) == 300


def test_no_entity_has_no_identity():
    assert len(entity_hashes(("user", "item"), np.zeros((0, 2), dtype=np.int64), IDS)) == 0
