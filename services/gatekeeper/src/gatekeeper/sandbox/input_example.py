"""The inner side of the sandbox: the input example of a model, as serving would give it to the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class WrongExample(Exception):
    """The model's input example does not fit its own signature."""


def input_example(folder: str, served: Any) -> Any:
    """Return the input example as serving would give it to the model; None if there is none.

    One that no request can have is returned in the types of the signature, where it fits them.
    """
    from chassis import mlmodel
    from chassis.signature_frame import Unfit, fitted

    if served.example:
        return served.reader.read(served.example, len(served.example)).frame
    example = _logged_example(folder)
    about = mlmodel.read(Path(folder))
    if example is None or about.inputs is None or about.kinds is None:
        return example
    try:
        return fitted(example, dict(zip(about.inputs, about.kinds, strict=True)))
    except Unfit as error:
        raise WrongExample(str(error)) from error


def _logged_example(folder: str) -> Any:
    """Return it as a DataFrame; its values as they were written, where MLflow cannot bring them to the signature."""
    import mlflow.models
    import numpy as np
    import pandas as pd
    from mlflow.exceptions import MlflowException

    model = mlflow.models.Model.load(folder)
    about = model.saved_input_example_info
    try:
        example = model.load_input_example(folder) if about else None
    except MlflowException:
        if about.get("type") != "dataframe":
            raise
        written = json.loads((Path(folder) / about["artifact_path"]).read_text())
        example = pd.DataFrame(written["data"], columns=written["columns"])
    if example is None or isinstance(example, pd.DataFrame):
        return example if example is not None and len(example) else None
    if isinstance(example, dict | list) and example and not np.isscalar(next(iter(example))):
        return pd.DataFrame(example)
    return pd.DataFrame(np.atleast_2d(np.asarray(example)))
