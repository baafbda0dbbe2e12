import pytest

from counterpoint.data.planted import PRESETS, planted_preset
from counterpoint.errors import UserError


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_itself_when_no_dial_is_turned(name):
    assert planted_preset(name) == PRESETS[name]


def test_dials_may_come_as_text_from_the_command_line():
    config = planted_preset("tiny", relatedness="0.5", seed="7")
    assert (config.relatedness, config.seed) == (0.5, 7)
    assert config.interactions == PRESETS["tiny"].interactions


@pytest.mark.parametrize(
    ("dials", "line"),
    [
        ({"relatedness": 0.95}, r"planted tiny: relatedness=0\.95: .*less than or equal to 0\.9"),
        ({"relatedness": -0.6}, r"planted tiny: relatedness=-0\.6: .*greater than or equal to"),
        ({"users": 3}, r"planted tiny: users=3: .*greater than or equal to 10"),
        ({"skew": "steep"}, r"planted tiny: skew='steep': .*valid number"),
        ({"shade": 1}, r"planted tiny: shade=1: Extra inputs are not permitted"),
        (
            {"conversion_rate": 0.2, "click_rate": 0.3},
            r"planted tiny: conversion_rate 0\.2 is above half of click_rate 0\.3: .*lower it",
        ),
        ({"customers": 100}, r"planted tiny: customers=100: Extra inputs are not permitted"),
    ],
)
def test_a_dial_out_of_its_range_is_one_line(dials, line):
    with pytest.raises(UserError, match=line) as raised:
        planted_preset("tiny", **dials)
    assert len(raised.value.faults) == 1
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("preset", "dials", "line"),
    [
        ("logistic", {"relatedness": 1}, r"relatedness=1: .*less than or equal to 0\.9"),
        ("logistic", {"users": 100}, r"users=100: Extra inputs are not permitted"),
        (
            "logistic_tiny",
            {"contract_rate": 0.11},
            r"contract_rate 0\.11 is above half of interest_rate 0\.2: a contract is .*lower it",
        ),
        ("aminer", {"latent_width": 1}, r"latent_width=1: .*greater than or equal to 2"),
        ("criteo_r", {"rows": 999}, r"rows=999: .*greater than or equal to 1000"),
        ("criteo_r", {"fields": 3}, r"fields=3: .*greater than or equal to 4"),
        ("criteo_ur", {"temperature": -1}, r"temperature=-1: .*greater than or equal to 0"),
        ("criteo_ur", {"second": "other"}, r"second='other': .*'related' or 'unrelated'"),
        ("criteo_r", {"relatedness": 0.5}, r"relatedness=0\.5: Extra inputs are not permitted"),
    ],
)
def test_so_it_is_with_every_kind(preset, dials, line):
    with pytest.raises(UserError, match=f"planted {preset}: {line}") as raised:
        planted_preset(preset, **dials)
    assert len(raised.value.faults) == 1
    assert "\n" not in str(raised.value)


def test_every_faulty_dial_has_its_line():
    with pytest.raises(UserError) as raised:
        planted_preset("demo", users=1, items=1)
    assert len(raised.value.faults) == 2


def test_an_unknown_preset_says_which_there_are():
    with pytest.raises(
        UserError, match="no preset 'huge'; there are tiny, demo, large, logistic, "
    ):
        planted_preset("huge")
