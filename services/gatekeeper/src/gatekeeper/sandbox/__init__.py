"""Where candidate code runs: a process of its own, with limits and without credentials."""
