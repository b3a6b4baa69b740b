"""What MLflow runs when a registered model is loaded: the Predictor on the folder that lies with it.

MLflow copies this file and the package `pdeseray_model` beside the weights (a model from code: nothing is pickled).
So it imports nothing of `pipelines`, and works where only torch and the libraries of the network are installed.
Its methods have no annotations, because MLflow would take them for the signature.
"""

from pathlib import Path

import numpy as np
from mlflow.models import set_model  # noqa: TID253 - MLflow itself runs this file
from mlflow.pyfunc.model import PythonModel  # noqa: TID253 - see above

from pdeseray_model.predictor import Predictor


class ServedModel(PythonModel):
    """Images (uint8, N x D x D) to probabilities (float32, N x D x D)."""

    # the signature says it all; without this MLflow warns in colours, at every load, that annotations are missing
    _skip_type_hint_validation = True

    def load_context(self, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Open the weights that MLflow has put in place."""
        self.predictor = Predictor.load(Path(context.artifacts["weights"]).parent)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Probability of pneumothorax at each pixel."""
        del context, params
        return self.predictor.predict(np.asarray(model_input, dtype=np.uint8))


set_model(ServedModel())
