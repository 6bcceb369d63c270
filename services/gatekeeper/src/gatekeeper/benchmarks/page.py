"""The page of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gatekeeper.benchmarks import report
from gatekeeper.report.page import environment


def render(results: Mapping[str, Any], completed_at: datetime | None) -> str:
    """Render the results as one self-contained HTML page."""
    return (
        environment()
        .get_template("benchmark.html")
        .render(
            results=results,
            completed_at=completed_at,
            headline=report.headline(results),
            section=report.section(results),
        )
    )
