"""The gates: one module each, pure functions from facts to a verdict."""
