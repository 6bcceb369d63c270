"""Run candidate code in a separate process, with resource limits and without credentials."""
