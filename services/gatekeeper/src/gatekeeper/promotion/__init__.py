"""Promotion: the gate job, manual commands, MLflow's aliases, the reconciler, and restoring after a loss."""
