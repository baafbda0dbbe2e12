"""Census-Income KDD, both parts or the test part alone: two tasks on a table, no graph."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import Kind, existing_file, read_table
from counterpoint.data.schema import (
    DataSchema,
    Feature,
    FeatureKind,
    NodeType,
    Split,
    Task,
    TaskKind,
)
from counterpoint.data.splits import entity_uniform

TRAIN_FILES = ("census-income.data.gz", "census-income.data")
TEST_FILES = ("census-income.test.gz", "census-income.test")
VALID = 0.1  # of the training file; there is no file for it
COLUMNS = (
    "age",
    "class_of_worker",
    "industry_code",
    "occupation_code",
    "education",
    "wage_per_hour",
    "enrolled_in_education",
    "marital_status",
    "major_industry",
    "major_occupation",
    "race",
    "hispanic_origin",
    "sex",
    "member_of_a_labor_union",
    "reason_for_unemployment",
    "full_or_part_time_employment",
    "capital_gains",
    "capital_losses",
    "dividends_from_stocks",
    "tax_filer_status",
    "region_of_previous_residence",
    "state_of_previous_residence",
    "detailed_household_and_family",
    "detailed_household_summary",
    "instance_weight",
    "migration_change_in_msa",
    "migration_change_in_region",
    "migration_move_within_region",
    "live_in_this_house_1_year_ago",
    "migration_previous_residence_in_sunbelt",
    "persons_worked_for_employer",
    "family_members_under_18",
    "country_of_birth_father",
    "country_of_birth_mother",
    "country_of_birth_self",
    "citizenship",
    "own_business_or_self_employed",
    "veterans_questionnaire",
    "veterans_benefits",
    "weeks_worked_in_year",
    "year",
    "income",
)
NUMERIC = (
    "age",
    "wage_per_hour",
    "capital_gains",
    "capital_losses",
    "dividends_from_stocks",
    "persons_worked_for_employer",
    "weeks_worked_in_year",
)
NO_FEATURES = (
    "income",  # the label
    "marital_status",  # the label
    "detailed_household_and_family",  # "Child <18 never marr", "Spouse of householder": the label
    "detailed_household_summary",  # the same, coarser
    "tax_filer_status",  # a joint filer is married
    "instance_weight",  # the sampling weight of the survey, not known of a person
)
FEATURES = tuple(name for name in COLUMNS if name not in NO_FEATURES)
LABELS = {
    "income": pl.col("income").str.starts_with("50000+"),
    "never_married": pl.col("marital_status") == "Never married",
}


def read(source: Path) -> Imported:
    """Tasks ``income`` (above 50,000) and ``never_married`` on node type person.

    The two files are the split, persons numbered in the order training file, test file. Without a
    training file the test file is all there is, and its split is random.
    """
    test_path = existing_file(source, *TEST_FILES)
    test = _persons(test_path)
    counts = _counts(test, test_path.name, 99762, {"income": 6186, "never_married": 43143})
    given = any((source / name).is_file() for name in TRAIN_FILES)
    if given:
        train_path = existing_file(source, *TRAIN_FILES)
        train = _persons(train_path)
        # positives of this file: no count is published that could be checked
        counts += _counts(train, train_path.name, 199523, {})
        rows = pl.concat([_with_valid(train), test.with_columns(split=pl.lit("test"))])
    else:
        rows = test
    rows = rows.with_row_index("id").with_columns(pl.col("id").cast(pl.Int64))
    split = ["split"] if given else []
    tables = {
        "nodes/person": rows.select("id", *FEATURES),
        **{
            f"tasks/{name}": rows.select("id", *split, label=label.cast(pl.Int8))
            for name, label in LABELS.items()
        },
    }
    return Imported(_schema(Split(by="given") if given else Split()), tables, counts)


def _persons(path: Path) -> pl.DataFrame:
    kinds = {name: Kind.NUMBER if name in NUMERIC else Kind.TEXT for name in COLUMNS}
    return read_table(path, kinds, separator=", ")


def _with_valid(train: pl.DataFrame) -> pl.DataFrame:
    """The rows of the training file with ``split``: valid by a hash of the row's number."""
    held_out = entity_uniform([np.arange(train.height)], seed=0) < VALID
    return train.with_columns(split=pl.Series(np.where(held_out, "valid", "train")))


def _counts(
    persons: pl.DataFrame, file: str, published: int, positives: dict[str, int]
) -> list[Count]:
    return [
        Count("rows", persons.height, published, file=file),
        Count("columns", persons.width, len(COLUMNS), file=file),
        *(
            Count(
                f"{name} positives",
                persons.select(label.sum()).item(),
                positives.get(name),
                file=file,
            )
            for name, label in LABELS.items()
        ),
    ]


def _schema(split: Split) -> DataSchema:
    return DataSchema(
        name="census_income",
        description="Persons of the US census of 1994 and 1995; a table without a graph.",
        node_types={"person": NodeType(features=tuple(_feature(name) for name in FEATURES))},
        tasks={name: Task(kind=TaskKind.BINARY, entity="person") for name in LABELS},
        split=split,
    )


def _feature(name: str) -> Feature:
    return Feature(
        name=name, kind=FeatureKind.NUMERIC if name in NUMERIC else FeatureKind.CATEGORICAL
    )
