"""Features as arrays: what is learned from some nodes encodes any."""

import numpy as np
import polars as pl

from counterpoint.data.schema import Feature, FeatureKind
from counterpoint.graph.features import (
    FeatureEncoder,
    encoded_features,
    fitted_encoder,
    stored_encoders,
)
from counterpoint.graph.views import TrainingGraph

FEATURES = (
    Feature(name="words", kind=FeatureKind.BAG, size=9),
    Feature(name="city", kind=FeatureKind.CATEGORICAL),
    Feature(name="age", kind=FeatureKind.NUMERIC),
    Feature(name="looks", kind=FeatureKind.VECTOR, size=2),
    Feature(name="plan", kind=FeatureKind.CATEGORICAL),
)


def nodes(size: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": range(size),
            "words": [rng.integers(0, 9, rng.integers(0, 4)).tolist() for _ in range(size)],
            "city": rng.choice(["b", "a", "ü", "10", "9"], size),
            "age": rng.normal(40, 11, size) / 3,
            "looks": [[float(x), 7.0] for x in rng.normal(size=size)],
            "plan": rng.integers(0, 12, size),
        },
        schema_overrides={"words": pl.List(pl.Int64)},
    )


def test_an_encoder_that_was_stored_gives_the_same_bytes(market_graph: TrainingGraph) -> None:
    table, fit = nodes(50), np.arange(50) % 3 > 0
    made = fitted_encoder(table, FEATURES, fit)
    stored = FeatureEncoder.model_validate_json(made.model_dump_json())
    assert stored == made
    (meta, arrays), (again, same) = (
        encoded_features("user", table, encoder) for encoder in (made, stored)
    )
    assert meta == again
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in same.items()
    }
    kept = stored_encoders(market_graph.store)
    assert set(kept) == {"user", "item", "shop"}
    assert kept["shop"] == FeatureEncoder(features=())
    assert kept["user"].vocabularies == (("A", "B"),)


def test_each_feature_against_a_plain_loop() -> None:
    table, fit = nodes(40), np.arange(40) % 4 > 0
    encoder = fitted_encoder(table, FEATURES, fit)
    meta, arrays = encoded_features("user", table, encoder)
    known = [row for row, seen in zip(table.to_dicts(), fit, strict=True) if seen]
    ages = [row["age"] for row in known]
    mean = sum(ages) / len(ages)
    std = (sum((age - mean) ** 2 for age in ages) / len(ages)) ** 0.5
    cities = sorted({row["city"] for row in known})
    plans = sorted({str(row["plan"]) for row in known})
    for place, row in enumerate(table.to_dicts()):
        assert np.isclose(arrays["user/dense"][place, 0], (row["age"] - mean) / std, rtol=1e-6)
        assert arrays["user/dense"][place, 2] == 0  # a constant column
        codes = [
            values.index(value) + 1 if value in values else 0
            for values, value in ((cities, row["city"]), (plans, str(row["plan"])))
        ]
        assert arrays["user/codes"][place].tolist() == codes
        start, end = arrays["user/words.indptr"][place : place + 2]
        assert arrays["user/words.indices"][start:end].tolist() == row["words"]
    assert (meta.dense_widths, meta.bags) == ((1, 2), {"words": 9})
    assert meta.vocabularies == (len(cities) + 1, len(plans) + 1)


def test_further_nodes_are_encoded_by_what_was_learned() -> None:
    table = nodes(30)
    encoder = fitted_encoder(table, FEATURES, np.ones(30, dtype=bool))
    meta, before = encoded_features("user", table, encoder)
    new = {
        "id": 30,
        "words": [8],
        "city": "nowhere",
        "age": 1000.0,
        "looks": [0.0, 9.0],
        "plan": 99,
    }
    longer = pl.concat([pl.DataFrame([new], schema=table.schema), table])
    after_meta, after = encoded_features("user", longer, encoder)
    assert after_meta == meta.model_copy(update={"count": 31})
    for name in ("user/dense", "user/codes"):
        np.testing.assert_array_equal(after[name][1:], before[name])
    assert after["user/codes"][0].tolist() == [0, 0]
    assert after["user/dense"][0, 0] > 100
    assert after["user/words.indices"][0] == 8


def test_a_node_that_statistics_may_not_see_moves_none() -> None:
    table, fit = nodes(20), np.arange(20) > 0
    wild = table.with_columns(
        age=pl.when(pl.col("id") == 0).then(1e9).otherwise("age"),
        city=pl.when(pl.col("id") == 0).then(pl.lit("secret")).otherwise("city"),
    )
    assert fitted_encoder(table, FEATURES, fit) == fitted_encoder(wild, FEATURES, fit)
    assert fitted_encoder(table, FEATURES, ~fit) != fitted_encoder(wild, FEATURES, ~fit)
