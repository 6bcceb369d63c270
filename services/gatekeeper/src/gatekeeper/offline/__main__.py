"""`python -m gatekeeper.offline trail|heads|evidence …`: what `gauntlet audit verify --heads` and `gauntlet evidence
verify` run. Prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

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
    of_evidence = commands.add_parser("evidence", help="a folder of exported evidence")
    of_evidence.add_argument("folder", type=Path)
    of_evidence.add_argument("--golden", type=Path, help="file of golden rows that are not in the folder")
    for each in (of_trail, of_heads, of_evidence):
        each.add_argument("--keys", type=Path, help="folder of trusted public keys")
    given = parser.parse_args(argv)
    try:
        keys = _keys(given.keys)
        found = _found(given, keys)
    except Permanent as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(json.dumps(found))
    return 0


def _found(given: argparse.Namespace, keys: Verifier | None) -> Any:
    if given.command == "evidence":
        from gatekeeper.offline import evidence

        return evidence.verify(given.folder, keys, given.golden)
    heads = trail.read_heads(given.heads, keys)
    if given.command == "heads":
        return trail.as_json(heads)
    kept = None if given.kept is None else trail.Export(given.kept)
    return trail.verify_trail(trail.Export(given.export), heads, kept)


def _keys(folder: Path | None) -> Verifier | None:
    if folder is None:
        return None
    from chassis.signing.keys import read_public_keys

    return read_public_keys(folder)


if __name__ == "__main__":
    sys.exit(main())
