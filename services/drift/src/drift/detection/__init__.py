"""Judging a window: its scores, its performance, and the event that says so."""
