"""One module per group of commands; gauntlet.cli registers them."""
