"""The tables, the queries on them, and what records a decision."""
