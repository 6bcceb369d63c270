"""Messages to people: which events reach whom, and what became of each message."""
