"""The tables, the queries on them, and the recorder of decisions."""
