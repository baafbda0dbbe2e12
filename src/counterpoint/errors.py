"""The one error that a user is meant to see."""

from collections.abc import Sequence


class UserError(Exception):
    """Bad input: a list of faults, one line each; the command line exits with 2.

    A line names the file, the column, the value and the count, and says what to do.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def raise_faults(faults: Sequence[str]) -> None:
    """Raise one :class:`UserError` that carries all faults, if there are any."""
    if faults:
        raise UserError(*faults)
