"""Who calls, and what they may do: authentication and roles of every HTTP endpoint."""
