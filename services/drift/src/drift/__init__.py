"""Drift: predictions and ground truth in, DriftDetected out."""
