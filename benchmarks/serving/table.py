"""Figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.targets import Figures, Target
from benchmarks.serving.wrk import Measured


@dataclass(frozen=True)
class Load:
    rows: int
    connections: int

    def __str__(self) -> str:
        what = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"{what}, {self.connections} conn."


Results = Mapping[tuple[str, Load], Measured]
"""By server and load."""


def table(results: Results, loads: Sequence[Load]) -> Iterable[str]:
    """Yield one line per server, in the order of measurement."""
    yield "| | " + " | ".join(f"{load}: req/s | p50 ms | p99 ms" for load in loads) + " | failed |"
    yield "|---|" + "--:|--:|--:|" * len(loads) + "--:|"
    for server in dict.fromkeys(server for server, _ in results):
        cells = [_cells(results.get((server, load))) for load in loads]
        failed = sum(measured.failed for (name, _), measured in results.items() if name == server)
        yield f"| {server} | " + " | ".join(cells) + f" | {failed} |"


def targets(results: Results, load: Load, wanted: Iterable[Target]) -> Iterable[str]:
    figures: Figures = {server: measured for (server, at), measured in results.items() if at == load}
    yield f"| {load} | wanted | measured | |"
    yield "|---|--:|--:|---|"
    for target in wanted:
        yield target.line(figures)


def _cells(measured: Measured | None) -> str:
    if measured is None:
        return "– | – | –"
    rate = f"{measured.rate:,.0f}" if measured.rate >= 100 else f"{measured.rate:.1f}"
    return " | ".join([rate, *(_milliseconds(value) for value in (measured.p50, measured.p99))])


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
