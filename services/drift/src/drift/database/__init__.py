"""The tables, the queries on them, and how events become rows."""
