"""The served model: MLflow's face of a bundle.

Imported by :mod:`counterpoint.registry.model_from_code` alone, which MLflow runs when it loads a
model; so mlflow and pandas are there already.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from counterpoint.errors import UserError
from counterpoint.registry.bundle import Bundle, read_bundle
from counterpoint.registry.scores import score


class ScoringModel(PythonModel):  # type: ignore[misc]  # mlflow publishes no types
    """Probabilities for a frame of entities; see :func:`counterpoint.registry.scores.score`."""

    bundle: Bundle

    def load_context(self, context: PythonModelContext) -> None:
        """Verify the manifest, then read the bundle."""
        self.bundle = read_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Score the entities of ``model_input``; there are no ``params``.

        Raises:
            MlflowException: the line of a :class:`UserError`: a scoring server hides all others.
        """
        try:
            return score(self.bundle, model_input)
        except UserError as fault:
            raise MlflowException.invalid_parameter_value(str(fault)) from None
