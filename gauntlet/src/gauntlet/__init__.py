"""The command line: runs the stack on one machine and talks to it."""
