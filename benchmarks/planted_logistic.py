"""How far the cap of a nested task relates it to the other one, whatever the dial says.

A planted contract cannot be likelier than interest. For each temperature, rate of interest and
relatedness: the share of customers whose contract probability is the cap, the rank correlation of
the two tasks' probabilities, and the AUC of contracts by the best score and by interest's.

    python -m benchmarks.planted_logistic --json benchmarks/results/planted_logistic.json
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from counterpoint.data.planted import generate, planted_preset
from counterpoint.files import write_json

CUSTOMERS = 100_000
SETTINGS = ((0.2, 0.02), (0.2, 0.1), (0.2, 0.2), (0.5, 0.02), (0.5, 0.2))  # temperature, interest
RELATEDNESS = (-0.5, 0.1, 0.5, 0.9)


def measured(folder: Path) -> dict[str, float]:
    """The four numbers of the planted data set in ``folder``."""
    interest, contract = (
        pl.read_parquet(folder / "truth" / f"{task}.parquet")["bayes"].to_numpy()
        for task in ("interest", "contract")
    )
    label = pl.read_parquet(folder / "tasks" / "contract.parquet")["label"].to_numpy()
    return {
        "capped": float((contract == interest).mean()),
        "correlation": float(spearmanr(interest, contract).statistic),
        "auc_best": float(roc_auc_score(label, contract)),
        "auc_by_interest": float(roc_auc_score(label, interest)),
    }


def main() -> None:
    """Plant and measure all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for (temperature, rate), relatedness in product(SETTINGS, RELATEDNESS):
        dials = {"temperature": temperature, "interest_rate": rate, "relatedness": relatedness}
        with tempfile.TemporaryDirectory() as folder:
            size = {"customers": CUSTOMERS, "accounts": CUSTOMERS}
            generate(planted_preset("logistic", **size, **dials), Path(folder))
            rows.append({**dials, **measured(Path(folder))})
        print({name: round(found, 3) for name, found in rows[-1].items()}, flush=True)
    if arguments.json:
        write_json(arguments.json, {"customers": CUSTOMERS, "rows": rows})


if __name__ == "__main__":
    main()
