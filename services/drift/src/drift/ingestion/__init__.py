"""Rows and labels, as they arrive."""
