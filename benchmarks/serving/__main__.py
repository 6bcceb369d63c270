"""This service and its peers side by side: `python -m benchmarks.serving --help`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
from benchmarks.serving import protocols, wrk
from benchmarks.serving.checking import Wrong, check, wait
from benchmarks.serving.own import Gauntlet, answers, surroundings
from benchmarks.serving.servers import Gone, Running, Server, peers
from benchmarks.serving.subjects import BATCH_ROWS, COMPILABLE, Subject, subjects
from benchmarks.serving.table import Load, table, targets
from benchmarks.serving.targets import COMPILABLE_TARGETS, INVOCATIONS, OURS, PYFUNC_TARGETS, QUIET

KEYS = ("gauntlet", "gauntlet-quiet", "mlflow", "mlserver", "bentoml", "litserve", "fastapi", "echo")
BATCH = Load(BATCH_ROWS, 16)
WARM_UP_SECONDS, WARM_UP_CONNECTIONS = 3.0, 16
CACHE = Path(platformdirs.user_cache_dir("gauntlet")) / "benchmarks"

Found = dict[tuple[str, Load], list[wrk.Measured]]


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def listed(kind: Callable[[str], object]) -> Callable[[str], list[object]]:
    return lambda text: [kind(part) for part in text.split(",")]


def known(key: str) -> str:
    if key not in KEYS:
        raise argparse.ArgumentTypeError(f"{key!r} is none of {', '.join(KEYS)}")
    return key


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--peers", type=listed(known), default=list(KEYS), help=f"of: {','.join(KEYS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=8, help="of each load (default: 8)")
    parser.add_argument("--connections", type=listed(int), default=[1, 16, 64], help="for one row (default: 1,16,64)")
    parser.add_argument("--workers", type=listed(int), default=[1], help="of each server, such as 1,2 (default: 1)")
    parser.add_argument("--rounds", type=int, default=1, help="of all servers; medians are shown (default: 1)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"of the peers' environments (default: {CACHE})")
    return parser.parse_args(arguments)


class Bench:
    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        self._chosen, self._folder = chosen, folder
        self._loads = [*(Load(1, connections) for connections in chosen.connections), BATCH]

    def compare(self, servers: Sequence[Server], subject: Subject, workers: int) -> None:
        """Print the table of one model. Servers run one after another, all of them in every round."""
        found: Found = defaultdict(list)
        reasons = {server.key: server.takes(subject, workers) for server in servers}
        for key, why_not in reasons.items():
            if why_not:
                say(f"{key}, {subject.name}, {workers} worker(s): left out, {why_not}")
        servers = [server for server in servers if not reasons[server.key]]
        if not servers:
            return
        for number in range(self._chosen.rounds):
            for server in servers:
                say(f"{server.key}: {subject.name}, {workers} worker(s), round {number + 1}")
                with server.running(subject, workers) as running:
                    self._measure(server, running, subject, found)
        results = {key: wrk.typical(rounds) for key, rounds in found.items()}
        print(f"\n### {subject.name}, {workers} worker{'s' if workers > 1 else ''}\n")
        chosen = self._chosen
        how = f"{os.cpu_count()} cores, shared with the load; {chosen.seconds:g} s a load; {chosen.rounds} round(s)"
        print(f"{how}\n")
        print("\n".join(table(results, self._loads)), "\n")
        wanted = COMPILABLE_TARGETS if subject.name == COMPILABLE else PYFUNC_TARGETS
        print("\n".join(targets(results, Load(1, max(self._chosen.connections)), wanted)), flush=True)

    def _measure(self, server: Server, running: Running, subject: Subject, found: Found) -> None:
        for name, protocol in server.faces.items():
            if isinstance(server, Gauntlet) and not answers(running.port, protocol.path):
                say(f"  {name} is left out: this replica does not answer {protocol.path}")
                continue
            wait(running, protocol, subject)
            check(running, protocol, subject)
            url = protocol.url(running.port)
            bodies = {rows: self._bodies(protocol, subject, rows) for rows in (1, BATCH_ROWS)}
            wrk.run(url, bodies[1], WARM_UP_CONNECTIONS, min(WARM_UP_SECONDS, self._chosen.seconds))
            for load in self._loads:
                measured = wrk.run(url, bodies[load.rows], load.connections, self._chosen.seconds)
                running.still_there()
                found[name, load].append(measured)
                say(
                    f"  {name}, {load}: {measured.rate:,.1f} req/s, p99 {measured.p99:.2f} ms, {measured.failed} failed"
                )

    def _bodies(self, protocol: protocols.Protocol, subject: Subject, rows: int) -> Path:
        path = self._folder / "bodies"
        path.mkdir(exist_ok=True)
        return protocol.written(path / f"{rows}.jsonl", subject.sized(rows))


def main() -> int:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wrk.required()
        compare_all(chosen)
    except (RuntimeError, Gone, Wrong) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def compare_all(chosen: argparse.Namespace) -> None:
    with surroundings() as around:
        bench, models = Bench(chosen, around.folder), subjects(around.folder / "models")
        ours = {OURS: protocols.OWN, INVOCATIONS: protocols.INVOCATIONS}
        servers: list[Server] = [
            Gauntlet("gauntlet", ours, True, around),
            Gauntlet("gauntlet-quiet", {QUIET: protocols.OWN}, False, around),
            *peers(chosen.cache),
        ]
        servers = [server for server in servers if server.key in chosen.peers]
        for workers in chosen.workers:
            for subject in models:
                bench.compare(servers, subject, workers)


if __name__ == "__main__":
    sys.exit(main())
