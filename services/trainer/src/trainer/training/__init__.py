"""The training process: fits a model, evaluates it, and logs and registers it in MLflow."""
