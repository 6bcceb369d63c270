"""The kinds of the gatekeeper's jobs: they are in the database, and what is queued there outlives this process."""

GATE = "gate"
MIRROR = "mirror"
TOURNAMENT = "tournament"
