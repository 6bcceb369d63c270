"""What the console costs: `python -m benchmarks.console_cost [--times 10] [--seconds 60] [--only PART,…]`.

Prints Markdown tables. *Pages*: bytes and time of the first page at 200 models, 5,000 versions and 100,000 audit rows,
and of a past that is `--times` as long, requested in turns. *Live*: from the commit of a change to the message that an
open page receives, and to the page that shows it (Chromium). *Open*: CPU of a gatekeeper with 0 and 50 open pages, and
with one event a second. *Start*: CPU of the console's imports and routes. The gatekeepers run without Kafka and MLflow:
pages need neither.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import yaml
from sqlalchemy import insert, update

from chassis.database import Database
from gatekeeper.database import queries
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.tables import ModelRow
from support.big_database import ROLLING, BigDatabase
from support.live_stream import LiveClient
from support.processes import end, free_port, spawn
from support.waiting import eventually

MODELS, VERSIONS, AUDITS = 200, 5_000, 100_000
PAGES, CHANGES, CONSOLES = 100, 40, 50
NOBODY = "127.0.0.1:9"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START = """
import ast, inspect, sys, time
from importlib.util import find_spec
tree = ast.parse(open(find_spec("gatekeeper.app").origin).read())
imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
ours = [node for node in imports if node.module.startswith("gatekeeper.console")]
run = lambda nodes: exec(compile(ast.Module(nodes, []), "imports", "exec"), {})
run([node for node in imports if node not in ours])
began = time.process_time()
run(ours)
imported = time.process_time() - began
from gatekeeper import app
from gatekeeper.settings import Settings
from pathlib import Path
folder = Path(sys.argv[1])
settings = Settings(_env_file=None, data_dir=folder, policies_dir=folder, mlflow_tracking_uri="http://127.0.0.1:9")
if sys.argv[2] == "without":
    app.console_routers = lambda site: []
began = time.process_time()
app.build(settings)
print(imported, time.process_time() - began)
"""


@dataclass(frozen=True)
class Running:
    url: str
    database: Database
    process: psutil.Process
    big: BigDatabase


@contextmanager
def gatekeeper_on(big: BigDatabase) -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="gauntlet-console-cost-"))
    url, port = f"sqlite:///{folder / 'gatekeeper.db'}", free_port()
    database = Database(url)
    print(f"fills a database of {big.versions:,} versions and {big.audits:,} audit rows", file=sys.stderr, flush=True)
    big.fill(database)
    (folder / "policies").mkdir()
    for name in big.names:
        (folder / "policies" / f"{name}.yaml").write_text(yaml.safe_dump({"model": name, **ROLLING}))
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
        "DATABASE_URL": url,
        "MLFLOW_TRACKING_URI": f"http://{NOBODY}",
        "POLICIES_DIR": str(folder / "policies"),
        "DATA_DIR": str(folder),
        "GATEKEEPER_PORT": str(port),
    }
    process = spawn([sys.executable, "-m", "gatekeeper"], env, folder / "log")
    try:
        found = Running(f"http://127.0.0.1:{port}", database, psutil.Process(process.pid), big)
        eventually(lambda: responds(found), timeout=120)
        yield found
    finally:
        end(process)
        database.close()
        shutil.rmtree(folder, ignore_errors=True)


def responds(service: Running) -> bool:
    client = None
    try:
        client = LiveClient(service.url)
        return client.status == 200
    except httpx.HTTPError:
        return False
    finally:
        if client is not None:
            client.close()


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def pages(services: Sequence[Running]) -> None:
    """The first page of each, in turns."""
    times: dict[str, list[float]] = {service.url: [] for service in services}
    sizes: dict[str, int] = {}
    with httpx.Client(trust_env=False, timeout=60) as client:
        for number in range(PAGES + 5):
            for service in services:
                began = time.perf_counter()
                response = client.get(f"{service.url}/", headers={"Accept-Encoding": "gzip"})
                spent = time.perf_counter() - began
                response.raise_for_status()
                sizes[service.url] = len(response.content)
                if number >= 5:
                    times[service.url].append(spent * 1000)
    print("\n| first page | HTML kB | p50 ms | p95 ms |\n|---|--:|--:|--:|")
    for service in services:
        found, big = times[service.url], service.big
        past = f"{big.models} models, {big.versions:,} versions, {big.audits:,} audit rows"
        size = sizes[service.url] / 1000
        print(f"| {past} | {size:.1f} | {quantile(found, 0.5):.1f} | {quantile(found, 0.95):.1f} |")
    if len(services) == 2:
        ratios = [after / before for before, after in zip(*(times[each.url] for each in services), strict=True)]
        print(f"\nratio within pairs, median: {statistics.median(ratios):.3f}", flush=True)


def event(service: Running) -> float:
    """Record an event; return when it was committed."""
    now = datetime.now(UTC)
    row = {"source": "benchmark", "event_id": uuid4().hex, "type": "DriftDetected", "model_name": service.big.names[0]}
    row |= {"correlation_id": "c", "at": now, "received_at": now}
    with service.database.transaction() as session:
        session.execute(insert(EventLogRow).values(**row, data=DRIFT | {"model_name": service.big.names[0]}))
    return time.time()


DRIFT = {"kind": "data", "model_version": 1, "window": {"id": "w"}, "reason": "benchmark", "scores": []}


def frozen(service: Running, number: int) -> float:
    """Freeze a model, or end that, as a decision does; return when it was committed."""
    name = service.big.names[0]
    values = {"frozen_at": datetime.now(UTC) if number % 2 == 0 else None, "frozen_by": "ann", "frozen_reason": "b"}
    with service.database.transaction() as session:
        session.execute(update(ModelRow).where(ModelRow.name == name).values(**values))
        queries.add_audit(session, "frozen", name, None, actor="ann", reason=f"benchmark {number}")
    return time.time()


def live(service: Running) -> None:
    client = LiveClient(service.url)
    delays = []
    for _ in range(CHANGES):
        before = len(client.changes)
        committed = event(service)
        eventually(lambda: len(client.changes) > before, interval=0.005)  # noqa: B023
        delays.append(client.changes[before][0] - committed)
        time.sleep(0.13)  # at any phase of the looks
    client.close()
    print("\n| change visible | p50 s | p95 s |\n|---|--:|--:|")
    print(f"| from commit to message | {quantile(delays, 0.5):.3f} | {quantile(delays, 0.95):.3f} |", flush=True)
    if (chromium := next(filter(None, map(shutil.which, CHROMIUM)), None)) is None:
        print("\nno Chromium here: the browser was not measured")
        return
    shown = in_browser(service, chromium)
    print(f"| from commit to the page | {quantile(shown, 0.5):.3f} | {quantile(shown, 0.95):.3f} |", flush=True)


def in_browser(service: Running, chromium: str) -> list[float]:
    from playwright.sync_api import sync_playwright

    delays = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{service.url}/")
        page.wait_for_function("document.getElementById('live').dataset.state === 'live'")
        for number in range(CHANGES // 2):
            before = page.evaluate("document.getElementById('content').innerHTML.length")
            committed = frozen(service, number)
            page.wait_for_function(
                "length => document.getElementById('content').innerHTML.length !== length", arg=before, polling=10
            )
            delays.append(time.time() - committed)
            time.sleep(0.13)
        browser.close()
    return delays


def open_pages(service: Running, seconds: float) -> None:
    def share(each_second: Callable[[], object]) -> float:
        before, began = service.process.cpu_times(), time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            each_second()
            time.sleep(min(1.0, left))
        after = service.process.cpu_times()
        return 100 * (after.user + after.system - before.user - before.system) / (time.monotonic() - began)

    print("\n| gatekeeper's CPU | % of a core |\n|---|--:|")
    print(f"| no open page | {share(lambda: None):.2f} |", flush=True)
    with ExitStack() as stack:
        for _ in range(CONSOLES):
            stack.callback(LiveClient(service.url).close)
        print(f"| {CONSOLES} open pages | {share(lambda: None):.2f} |", flush=True)
        print(f"| {CONSOLES} open pages, an event a second | {share(lambda: event(service)):.2f} |", flush=True)


def start(rounds: int = 5) -> None:
    """Imports that only the console needs, and its routes: with them and without."""
    imported, built = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            found = {kind: _start(folder, kind) for kind in ("with", "without")}
            imported.append(found["with"][0])
            built.append(found["with"][1] - found["without"][1])
    whole = statistics.median(map(sum, zip(imported, built, strict=True)))
    print("\n| console's part of a start | CPU s |\n|---|--:|")
    print(f"| imports | {statistics.median(imported):.3f} |\n| routes | {statistics.median(built):.3f} |")
    print(f"| both | {whole:.3f} |", flush=True)


def _start(folder: str, kind: str) -> tuple[float, float]:
    command = [sys.executable, "-c", START, folder, kind]
    imported, built = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-2:]
    return float(imported), float(built)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console_cost")
    parser.add_argument("--times", type=int, default=10, help="how much longer the second past is")
    parser.add_argument("--seconds", type=float, default=60, help="for each measurement of open pages")
    parser.add_argument("--only", default="pages,live,open,start", help="of these, which to measure")
    options = parser.parse_args()
    wanted = options.only.split(",")
    print(f"load of the machine: {', '.join(f'{each:.2f}' for each in os.getloadavg())}", flush=True)
    if "start" in wanted:
        start()
    if wanted == ["start"]:
        return
    with ExitStack() as stack:
        services = [stack.enter_context(gatekeeper_on(BigDatabase(MODELS, VERSIONS, AUDITS)))]
        if "live" in wanted:
            live(services[0])
        if "open" in wanted:
            open_pages(services[0], options.seconds)
        if "pages" in wanted:
            longer = BigDatabase(MODELS, VERSIONS * options.times, AUDITS * options.times)
            services.append(stack.enter_context(gatekeeper_on(longer)))
            pages(services)
    print(f"\nload of the machine: {', '.join(f'{each:.2f}' for each in os.getloadavg())}")


if __name__ == "__main__":
    main()
