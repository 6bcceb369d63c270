"""Gauntlet from Python programs."""
