"""What every service stands on: bus, outbox, inbox, database, jobs, telemetry."""
