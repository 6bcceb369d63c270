"""The kinds of the gatekeeper's jobs: they are in the database, and what is queued there outlives this process."""

GATE = "gate"
MIRROR = "mirror"
TOURNAMENT = "tournament"
BENCHMARK = "benchmark"
MANIFEST = "manifest"


def first_job(candidate_id: str) -> str:
    """Return the id of the job of a candidate's first judgement."""
    return f"gate:{candidate_id}"
