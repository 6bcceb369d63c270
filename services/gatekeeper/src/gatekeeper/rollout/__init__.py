"""Rollouts: what is measured, loaded and approved, and the time, becomes their next step."""
