"""Results of trainings as they are stored: the end of the log, and the registered version."""
