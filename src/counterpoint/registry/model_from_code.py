"""What MLflow stores as the model's code: these lines and no others; the rest is the package."""

from mlflow.models import set_model

from counterpoint.registry.scoring_model import ScoringModel

set_model(ScoringModel())
