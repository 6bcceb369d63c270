"""The command line: runs the stack on one machine and calls its services."""
