"""A policy in words: for the command line, and for the pages of the console."""
