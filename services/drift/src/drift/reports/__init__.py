"""Pages of windows, with Evidently's drawings."""
