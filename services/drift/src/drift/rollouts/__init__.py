"""Rollouts, measured: rows of both versions joined with labels, summed for each step, and emitted."""
