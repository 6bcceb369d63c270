"""Measuring a candidate, and running the gates over the measurements."""
