"""Plays a story on a stack of the version whose interpreter runs this, and packs what is left of it.

    cd tests && /srv/gauntlet/.venv/bin/python -m support.takeover.record data/stack-0.1.tar.xz

tests/data/README.md says when to, what is in the story, and why that version should lie in a folder like /srv/gauntlet.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from embedded_kafka import EmbeddedKafka
from embedded_kafka.probe import taken
from support.takeover import archive, topics
from support.takeover.answers import Asked
from support.takeover.story import Teller, play, under_way

HERE = Path(__file__).parent
PORTS = {"kafka": 9092, "mlflow": 5000, "trainer": 8030, "gatekeeper": 8010, "drift": 8020, "serving": 8001}
STAGING = {"staging": 8000}
SETTINGS = {
    "GAUNTLET_ACTOR": "ann",
    "USER": "ann",
    "LOGNAME": "ann",
    "GATEKEEPER_TIMING_SECONDS": "1",
    "DRIFT_PUBLIC_URL": "http://drift.example",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def main(target: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix="old-stack-"))  # left behind when something fails, for who looks why
    packed, data = work / "packed", work / "stack"
    shutil.copytree(HERE / "policies", packed / "policies")
    (packed / "recipes").mkdir(parents=True)
    shutil.copy(HERE / "shop_recipe.py", packed / "recipes")
    os.environ.update(SETTINGS)
    os.environ.update(POLICIES_DIR=str(packed / "policies"), TRAINER_RECIPE_PATH=str(packed / "recipes"))
    os.chdir(work)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and the stack with it
    sys.argv[0] = "notebook"  # MLflow would note where this file is
    recorded = story(data, work)
    with EmbeddedKafka(data / "kafka", log_file=work / "kafka.log") as kafka:
        kept = topics.read(kafka.bootstrap_servers)
    archive.gather(data, packed, kept, recorded)
    found = list(archive.traces(packed, archive.here(work, HERE)))
    assert not found, "traces of this machine:\n" + "\n".join(found)
    archive.pack(packed, target)
    shutil.rmtree(work)


def story(data: Path, work: Path) -> dict[str, Any]:
    """Play it on a stack in `data`; returns what the stack answered before it was stopped."""
    with up(data) as urls:
        asked = Asked(urls)
        teller = Teller(asked, urls, data, work)
        play(teller)
        recorded: dict[str, Any] = {"predictions": asked.predictions()}
        teller.quiet()
        recorded |= {"past": asked.past(), "loaded": {name: asked.loaded(name) for name in ("serving", "staging")}}
        recorded["groups"] = sorted(topics.groups(urls["kafka"].removeprefix("http://")))
        under_way(teller)
        asked.close()
    recorded["unfinished"] = unfinished(data / "databases" / "gatekeeper.db")
    assert recorded["unfinished"], "the version of the end was judged before the stack had stopped"
    return recorded


@contextmanager
def up(data: Path) -> Iterator[Mapping[str, str]]:
    """A stack; its addresses by the name of the part."""
    offset = next(each for each in iter(lambda: random.randrange(1_000, 20_000), 0) if _is_free(each))
    gauntlet = [sys.executable, "-m", "gauntlet"]
    subprocess.run([*gauntlet, "up", "--data-dir", str(data), "--port-offset", str(offset), "--detach"], check=True)
    try:
        yield {name: f"http://127.0.0.1:{port + offset}" for name, port in (PORTS | STAGING).items()}
    finally:
        subprocess.run([*gauntlet, "down", "--data-dir", str(data)], check=False)  # waits for one that is stopping


def unfinished(database: Path) -> list[str]:
    """The ids of the jobs that the next start has to take up."""
    with closing(sqlite3.connect(database)) as connection:
        return [each for (each,) in connection.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running')")]


def _is_free(offset: int) -> bool:
    return not any(taken(port + offset) for port in (PORTS | STAGING).values())


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
