"""A candidate's errors, as one sentence each."""

from __future__ import annotations

from typing import Any

ON_CATEGORIES = ("categorical_feature do not match", "must be int, float, bool or category")
"""Words of LightGBM's and XGBoost's errors on texts in place of categories."""
MLFLOW_ON_INPUT, MLFLOW_CAUSE = "Failed to enforce schema of data ", ". Error: "


def explained(error: Exception, frame: Any) -> Exception:
    """Say what to do where a model that was trained on pandas categories is given what MLflow makes of them."""
    if not any(words in str(error) for words in ON_CATEGORIES):
        return error
    texts = [name for name in frame.columns if frame[name].dtype == object]
    names = ", ".join(map(repr, texts))
    return TypeError(
        f"{told(error)}; it was trained on pandas categories, of which MLflow's signature makes texts (columns"
        f" {names}): train a pipeline that encodes texts (OrdinalEncoder), or log an mlflow.pyfunc.PythonModel whose"
        " predict makes them categories again: model_input.astype({column: pd.CategoricalDtype(known)})"
    )


def told(error: BaseException) -> str:
    """Return an error on one line. MLflow's on input that does not fit begins with the input, all rows of it."""
    text = " ".join(str(error).split()) or "without a message"
    if text.startswith(MLFLOW_ON_INPUT) and (end := text.rfind(MLFLOW_CAUSE)) >= 0:
        text = f"the input does not fit the signature: {text[end + len(MLFLOW_CAUSE) :]}"
    return f"{type(error).__name__}: {text}"
