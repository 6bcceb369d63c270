"""Benchmarks: champion, earlier versions and a trivial baseline on the newest labelled production rows."""
