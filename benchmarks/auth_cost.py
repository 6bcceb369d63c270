"""The cost of authentication in a replica's throughput.

`python -m benchmarks.auth_cost [--pairs 10] [--seconds 3] [--rules 0]` prints a Markdown table. Two replicas of one
model run side by side, one with AUTH=tokens and one with AUTH=off; every request presents the same token to both, so
that both parse the same bytes. The load alternates between them, in pairs of alternating order, and the ratio is taken
within each pair. `--rules N` adds a file of N rules that concern others.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import starmap

from benchmarks.serving import protocols, wrk
from benchmarks.serving.own import MODEL, Surroundings, replica_of, surroundings
from benchmarks.serving.subjects import BATCH_ROWS, Subject, subjects

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token
from support.versions import Uploads
from support.waiting import eventually

LOADS = ((1, 64), (BATCH_ROWS, 16))
"""Rows per request, connections."""
WARM_UP_SECONDS = 5.0


@dataclass(frozen=True)
class Pair:
    tokens: wrk.Measured
    off: wrk.Measured

    @property
    def ratio(self) -> float:
        return self.tokens.rate / self.off.rate


def line(subject: Subject, rows: int, connections: int, pairs: Sequence[Pair]) -> str:
    ratios = sorted(pair.ratio for pair in pairs)
    sides = [wrk.typical([pair.tokens for pair in pairs]), wrk.typical([pair.off for pair in pairs])]
    cells = [
        subject.name,
        f"{rows} row{'s' if rows > 1 else ''}, {connections} conn.",
        *(f"{side.rate:,.0f}" for side in sides),
        *(f"{side.p99:.1f}" for side in sides),
        f"{statistics.median(ratios):.3f}",
        f"{ratios[0]:.2f}–{ratios[-1]:.2f}",
        str(sum(side.failed for side in sides)),
    ]
    return "| " + " | ".join(cells) + " |"


def run(subject: Subject, around: Surroundings, pairs: int, seconds: float, rules: int) -> None:
    file, roles = around.folder / f"{subject.folder.name}-tokens.yaml", around.folder / "roles.yaml"
    token = create_token(file, "bench", [Role.CLIENT])
    reader = create_token(file, "reader", [Role.VIEWER])
    others = [f"- {{role: client, subjects: [other-{number}], models: [other-*]}}" for number in range(rules)]
    own = [f'- {{role: {role}, subjects: ["role:{role}"]}}' for role in (Role.CLIENT, Role.VIEWER)]
    roles.write_text("\n".join(["rules:", *others, *own]) + "\n")
    secured = {"AUTH": "tokens", "AUTH_TOKENS_FILE": str(file)} | ({"AUTH_ROLES_FILE": str(roles)} if rules else {})
    with ExitStack() as stack:
        found = [stack.enter_context(replica_of(around, name, env)) for name, env in (("tokens", secured), ("off", {}))]
        version = Uploads(around.tracking_uri).folder(MODEL, 1, subject.folder, subject.digest)
        for replica, bus in found:
            replica.client.headers["Authorization"] = f"Bearer {reader}"
            bus.publish(version.promoted(1))
            eventually(lambda: replica.answers_with(MODEL, 1, 1), timeout=120)  # noqa: B023
        ports = [replica.port for replica, _ in found]
        for rows, connections in LOADS:
            body = protocols.OWN.written(around.folder / f"{rows}.jsonl", subject.sized(rows))
            for port in ports:
                wrk.run(protocols.OWN.url(port), body, connections, WARM_UP_SECONDS, token)
            sides = [partial(wrk.run, protocols.OWN.url(port), body, connections, seconds, token) for port in ports]
            measured = []
            for pair in starmap(Pair, wrk.in_turns(*sides, pairs)):
                measured.append(pair)
                print(f"  pair {len(measured)}: {pair.ratio:.3f}", file=sys.stderr, flush=True)
            print(line(subject, rows, connections, measured), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auth_cost")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3, help="of each half of a pair (default: 3)")
    parser.add_argument("--rules", type=int, default=0, help="in the file of roles, of others (default: no file)")
    chosen = parser.parse_args()
    wrk.required()
    print(
        "| model | load | req/s, tokens | req/s, off | p99 ms, tokens | p99 ms, off "
        "| ratio, median of pairs | from–to | failed |\n|---|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    with surroundings() as around:
        for subject in subjects(around.folder / "models"):
            run(subject, around, chosen.pairs, chosen.seconds, chosen.rules)
    return 0


if __name__ == "__main__":
    sys.exit(main())
