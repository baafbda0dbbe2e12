"""The gate between validation and everything after it."""

from pathlib import Path

from counterpoint.errors import UserError
from counterpoint.files import read_json, verified_digest


def require_passed(validation: Path) -> None:
    """Raise unless the validation result in ``validation`` passed.

    Raises:
        UserError: one line for each critical expectation that failed.
    """
    verified_digest(validation)
    result = read_json(validation / "validation.json")
    if not result["passed"]:
        failed = result["failures"]
        page = validation / "docs" / "index.html"
        raise UserError(*failed, f"{len(failed)} critical expectations failed; see {page}")
