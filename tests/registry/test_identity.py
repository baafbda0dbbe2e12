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


def test_pairs_have_a_direction_and_do_not_fall_together():
    ids = {"node": np.arange(300)}
    pairs = np.stack(np.meshgrid(np.arange(300), np.arange(300)), -1).reshape(-1, 2)
    found = entity_hashes(("node", "node"), pairs, ids)
    assert len(np.unique(found)) == len(pairs)
    assert len(np.unique(entity_hashes(("node",), np.arange(300), ids))) == 300


def test_no_entity_has_no_identity():
    assert len(entity_hashes(("user", "item"), np.zeros((0, 2), dtype=np.int64), IDS)) == 0
