"""`python -m gatekeeper.offline trail EXPORT …`: what `gauntlet audit verify --heads` runs. Prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from chassis.errors import Permanent
from chassis.signing.dsse import Verifier
from gatekeeper.offline import trail


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status: 0 whatever was found."""
    parser = argparse.ArgumentParser(prog="python -m gatekeeper.offline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_trail = commands.add_parser("trail", help="an exported audit trail against heads and an earlier export")
    of_trail.add_argument("export", type=Path)
    of_trail.add_argument("--heads", type=Path, action="append", default=[], help="file of heads; may be given again")
    of_trail.add_argument("--kept", type=Path, help="an earlier export")
    of_heads = commands.add_parser("heads", help="files of heads, as JSON")
    of_heads.add_argument("heads", type=Path, nargs="+")
    for each in (of_trail, of_heads):
        each.add_argument("--keys", type=Path, help="folder of trusted public keys")
    given = parser.parse_args(argv)
    try:
        keys = _keys(given.keys)
        heads = trail.read_heads(given.heads, keys)
        if given.command == "heads":
            found = trail.as_json(heads)
        else:
            kept = None if given.kept is None else trail.Export(given.kept)
            found = trail.verify_trail(trail.Export(given.export), heads, kept)
    except Permanent as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(json.dumps(found))
    return 0


def _keys(folder: Path | None) -> Verifier | None:
    if folder is None:
        return None
    from chassis.signing.keys import read_public_keys

    return read_public_keys(folder)


if __name__ == "__main__":
    sys.exit(main())
