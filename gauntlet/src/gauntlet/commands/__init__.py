"""One module a group of commands; gauntlet.cli hangs them on the application."""
