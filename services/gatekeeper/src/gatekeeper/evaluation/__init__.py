"""Measure a candidate and run the gates on the measurements."""
