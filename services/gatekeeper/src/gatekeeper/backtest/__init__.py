"""Playing a promotion policy over a model's history: what it would have served, beside what it could have."""
