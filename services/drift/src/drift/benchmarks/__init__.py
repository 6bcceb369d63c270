"""Benchmarks: when they are due, and the newest labelled rows that they are run on."""
