"""Derived numbers: by hand, and as METHODS has them."""

import pytest

from benchmarks.paper_tables import (
    FORMULAS,
    PAPERS,
    Derived,
    Table,
    all_readings,
    gap,
    relaimpr,
    standing,
    summary,
    transfer,
)
from benchmarks.results import RESULTS
from counterpoint.data.schema import read_yaml
from counterpoint.errors import UserError
from counterpoint.files import read_json
from counterpoint.metrics import Parts, chance_corrected, value

TABLE = Table(
    paper="made up",
    shows="AUC",
    digits=2,
    columns=["a", "b"],
    rows={"own": [0.70, 0.80], "one": [0.60, 0.85], "two": [0.65, 0.70]},
    sd={"own": [0.01, 0.02], "one": [0.02, 0.02], "two": [0.0, 0.01]},
    runs=4,
)


def derived(printed, by="relaimpr", row="own", **more):
    readings = {"r": {"by": by, "over": more.pop("over", [])}}
    values = {"what": "", "table": "t", "row": row, "digits": 1, "printed": printed}
    return Derived.model_validate(values | {"readings": readings} | more)


def found(derived, label):
    return all_readings({"t": TABLE}, derived)["readings"]["r"][label]


def test_relaimpr_in_closed_form():
    assert relaimpr(0.75, 0.75) == 0
    assert relaimpr(1.0, 0.75) == pytest.approx(100)
    assert relaimpr(0.5, 0.75) == pytest.approx(-100)
    assert relaimpr(0.7, 0.6) == pytest.approx(100)  # while the plain ratio is 16.7 %
    for base in (0.5, 0.4):
        with pytest.raises(UserError, match=f"the base is {base}, which is not above chance"):
            relaimpr(0.7, base)


def test_relaimpr_is_the_gain_in_what_the_product_calls_chance_corrected():
    label = [0, 0, 1, 1, 0, 1]
    sides = [
        Parts("binary", [0] * 6, range(6), label, score)
        for score in ([0.1, 0.6, 0.5, 0.9, 0.2, 0.8], [0.1, 0.9, 0.5, 0.9, 0.2, 0.3])
    ]
    own, base = (chance_corrected("auc", parts) for parts in sides)
    assert relaimpr(*(value("auc", parts) for parts in sides)) == pytest.approx(
        100 * (own - base) / base
    )


def test_the_base_is_the_best_other_row_of_the_column():
    assert found(derived({"a": 33.3}), "a")["value"] == pytest.approx(100 * (0.20 / 0.15 - 1))
    one = found(derived({"a": 100.0}, over=["one"]), "a")
    assert one["value"] == pytest.approx(100)
    assert (one["low"], one["high"]) == pytest.approx(
        (100 * (0.195 / 0.105 - 1), 100 * (0.205 / 0.095 - 1))
    )


@pytest.mark.parametrize(
    ("printed", "state"),
    [(33.3, "follows"), (33.0, "rounding"), (41.3, "rounding"), (41.5, "misprint")],
)
def test_what_rounding_explains_is_no_misprint(printed, state):
    # 0.705 - 0.5 over 0.645 - 0.5 is 41.38 % more
    assert found(derived({"a": printed}), "a")["state"] == state


def test_gains_of_means_and_means_of_gains():
    own, base = [0.9, 0.5], [0.6, 0.5]
    assert FORMULAS["ratio_of_means"](own, base) == pytest.approx(100 * (1.4 / 1.1 - 1))
    assert FORMULAS["mean_of_ratios"](own, base) == pytest.approx(25)
    by_row = derived({"own": 0}, by="ratio_of_means", row="", over=["one"])
    assert found(by_row, "own")["value"] == pytest.approx(100 * (1.50 / 1.45 - 1))
    of_one = derived({"own": 0}, by="ratio_of_means", row="", over=["one"], columns=["a"])
    assert found(of_one, "own")["value"] == pytest.approx(100 * (0.70 / 0.60 - 1))


def test_the_reading_with_fewest_misprints_counts():
    two = {"all": {"by": "relaimpr"}, "one": {"by": "relaimpr", "over": ["one"]}}
    printed = Derived(
        what="", table="t", row="own", digits=0, printed={"a": 100, "b": -14}, readings=two
    )
    both = all_readings({"t": TABLE}, printed)
    states = [one["state"] for by_label in both["readings"].values() for one in by_label.values()]
    assert states == ["misprint", "follows", "follows", "follows"]
    assert (both["printed"], both["misprints_at_least"]) == (2, 0)


def test_ranks_turn_round_for_log_loss():
    losses = TABLE.model_copy(update={"columns": ["a log loss", "b"]})
    columns = standing(losses, "own", single=["one"])["columns"]
    assert columns["a log loss"]["rank"] == 3
    assert columns["a log loss"]["rival"] == "one"
    assert columns["a log loss"]["ahead"] == pytest.approx(-0.10)
    assert columns["b"]["rank"] == 2
    assert columns["b"] | {"ahead": 0, "ahead_of_single": 0} == {
        "rank": 2,
        "rival": "one",
        "single": "one",
        "joint": "own",
        "ahead": 0,
        "ahead_of_single": 0,
    }
    assert columns["b"]["ahead_of_single"] == pytest.approx(-0.05)


def test_transfer_counts_and_averages_columns():
    row = transfer(TABLE, over="one", rows=["own"])["rows"]["own"]
    assert row["below"] == 1
    assert row["delta_m"] == pytest.approx(50 * (0.70 / 0.60 + 0.80 / 0.85 - 2))
    assert row["relaimpr"] == pytest.approx((100 + relaimpr(0.80, 0.85)) / 2)
    assert transfer(TABLE, over="one", rows=["own"], columns=["a"])["of"] == 1


def test_a_gap_has_welchs_interval():
    from scipy.stats import ttest_ind

    # four runs with these means and deviations, so that scipy can be asked
    def runs(mean, sd):
        spread = sd * (3 / 4) ** 0.5
        return [mean - spread, mean + spread, mean - spread, mean + spread]

    gaps = gap(TABLE, "own", "one")["columns"]
    for column, own, one in (("a", (0.70, 0.01), (0.60, 0.02)), ("b", (0.80, 0.02), (0.85, 0.02))):
        interval = ttest_ind(runs(*own), runs(*one), equal_var=False).confidence_interval()
        expected = {"mean": own[0] - one[0], "low": interval.low, "high": interval.high}
        assert gaps[column] == pytest.approx(expected)


def test_methods_findings_come_out():
    found = summary(read_yaml(PAPERS))
    below = {row: r["below"] for row, r in found["transfers"][0]["rows"].items()}
    joint = {"Shared-Bottom": 4, "ESMM": 4, "MMoE": 4, "CGC": 5, "Cross-Stitch": 3, "SNR-trans": 3}
    assert below == joint | {"MoGENet": 0}
    delta = found["transfers"][0]["rows"]
    assert round(delta["MoGENet"]["delta_m"], 2) == 4.97
    assert round(delta["CGC"]["delta_m"], 2) == -0.28
    misprints = {
        (derived["what"], reading, label)
        for derived in found["derived"]
        if derived["paper"] != "AUX-TS"
        for reading, by_label in derived["readings"].items()
        for label, one in by_label.items()
        if one["state"] == "misprint"
    }
    of_mogenet = "RelaImpr of MoGENet over the best baseline"
    assert misprints == {
        (of_mogenet, "of all rows", "IJCAI favourite"),
        (of_mogenet, "of the rows without MGNN", "B conversion"),
        ("arrow beside Shared-Bottom + MGNN (1 is up)", "against Shared-Bottom", "IJCAI purchase"),
        ("DE-PHN's headline for conversion", "its cells", "Ali-CCP conversion log loss"),
    }
    averages = [derived for derived in found["derived"] if derived["what"] == "average gain, %"]
    assert len(averages) == 4
    for derived in averages:  # the ratio of means alone gives Book-Crossing's
        means = derived["readings"]["ratio of means"].values()
        assert {one["state"] for one in means} == {"follows"}


def test_what_is_checked_in_is_what_comes_out():
    def leaves(value, path=()):
        if not isinstance(value, dict | list):
            return {path: value}
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in items for k, v in leaves(one, (*path, key)).items()}

    stated = leaves(read_json(RESULTS / "paper_tables.json"))
    again = leaves(summary(read_yaml(PAPERS)))
    assert stated.keys() == again.keys()
    for path, leaf in stated.items():
        if isinstance(leaf, float):
            assert again[path] == pytest.approx(leaf, abs=1e-9), path
        else:
            assert again[path] == leaf, path
