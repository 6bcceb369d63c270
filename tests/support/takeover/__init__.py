"""A stack of an earlier version, recorded whole: played and packed by that version, taken over by this one in a test.

Nothing here imports the product but its command line and its broker: it has to run under either version.
"""
