"""What a verdict leads to: the gate job, people's commands, MLflow's aliases, and repair after a loss."""
