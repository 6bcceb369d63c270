"""Decisions of a replica: pure functions from a snapshot to one action."""
