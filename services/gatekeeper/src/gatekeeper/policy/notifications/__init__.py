"""Messages to people, decided: which event is worth one, to whom, when, in which words."""
