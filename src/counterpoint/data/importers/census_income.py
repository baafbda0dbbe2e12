"""Census-Income KDD, the test part: two tasks on a table, no graph."""

from pathlib import Path

import polars as pl

from counterpoint.data.importers.imported import Count, Imported
from counterpoint.data.importers.text_files import Kind, existing_file, read_table
from counterpoint.data.schema import DataSchema, Feature, FeatureKind, NodeType, Task, TaskKind

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


def read(source: Path) -> Imported:
    """Tasks ``income`` (above 50,000) and ``never_married`` on node type person."""
    path = existing_file(source, "census-income.test.gz", "census-income.test")
    kinds = {name: Kind.NUMBER if name in NUMERIC else Kind.TEXT for name in COLUMNS}
    rows = read_table(path, kinds, separator=", ").with_row_index("id")
    labels = {
        "income": pl.col("income").str.starts_with("50000+"),
        "never_married": pl.col("marital_status") == "Never married",
    }
    features = [name for name in COLUMNS if name not in NO_FEATURES]
    tables = {
        "nodes/person": rows.select(pl.col("id").cast(pl.Int64), *features),
        **{
            f"tasks/{name}": rows.select(pl.col("id").cast(pl.Int64), label=label.cast(pl.Int8))
            for name, label in labels.items()
        },
    }
    schema = DataSchema(
        name="census_income",
        description="Persons of the US census of 1994 and 1995; a table without a graph.",
        node_types={"person": NodeType(features=tuple(_feature(name) for name in features))},
        tasks={name: Task(kind=TaskKind.BINARY, entity="person") for name in labels},
    )
    counts = [
        Count("rows", rows.height, 99762, file=path.name),
        Count("columns", len(COLUMNS), 42, file=path.name),
        *(
            Count(f"{name} positives", tables[f"tasks/{name}"].filter(label=1).height, known)
            for name, known in (("income", 6186), ("never_married", 43143))
        ),
    ]
    return Imported(schema, tables, counts)


def _feature(name: str) -> Feature:
    return Feature(
        name=name, kind=FeatureKind.NUMERIC if name in NUMERIC else FeatureKind.CATEGORICAL
    )
