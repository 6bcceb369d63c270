"""`python -m gatekeeper.artifacts.update_advisories FOLDER SOURCE NAME`: fill a folder, and print its state."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from chassis.telemetry import configure_logging
from gatekeeper.artifacts import advisory_store
from gatekeeper.artifacts.advisory_sources import NoAdvisories, collect


def main(arguments: list[str]) -> int:
    folder, source, name = arguments
    configure_logging("advisories", "ERROR")
    try:
        found = collect(Path(source), name)
        advisory_store.write(Path(folder), found.advisories, found.state)
    except (NoAdvisories, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(found.state)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
