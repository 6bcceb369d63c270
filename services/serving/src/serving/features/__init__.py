"""Features by entity id, from a SQL table."""
