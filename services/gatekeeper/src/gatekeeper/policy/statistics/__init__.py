"""Metrics, their standard errors, and tests on paired predictions: numpy and scipy only."""
