"""What a replica believes: verified decisions, and a record of the newest ones."""
