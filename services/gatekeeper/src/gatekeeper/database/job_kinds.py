"""The kinds of the gatekeeper's jobs: they are in the database, and what is queued there outlives this process."""

GATE = "gate"
MIRROR = "mirror"
TOURNAMENT = "tournament"
BENCHMARK = "benchmark"
MANIFEST = "manifest"

BENCHMARK_ID = "benchmark_id"
"""Key in the payload of the jobs `benchmark` and, after one, `tournament`."""


def first_job(candidate_id: str) -> str:
    """Return the id of the job of a candidate's first judgement."""
    return f"gate:{candidate_id}"
