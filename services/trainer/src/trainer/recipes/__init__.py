"""What a user provides: a recipe, and its rows by window or by time."""
