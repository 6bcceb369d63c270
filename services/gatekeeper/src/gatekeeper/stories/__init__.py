"""Stories: every event, job, decision and load of one correlation id."""
