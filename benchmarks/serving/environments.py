"""One virtual environment per peer, kept between runs and isolated from the product's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).with_name("peers")
TOOLS = Path(__file__).parents[2] / ".tools" / "bin"


def environment(peer: str, cache: Path) -> Path:
    """Return the bin folder of `peer`'s environment below `cache`; created when its requirements are new there.

    Raises RuntimeError with the installer's output when creation fails.
    """
    requirements = PEERS / peer / "requirements.txt"
    made_of = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache / f"{peer}-{made_of}"
    complete = folder / "complete"
    if not complete.exists():
        print(f"installing {peer} into {folder}", file=sys.stderr, flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder, requirements)
        complete.touch()
    return folder / "bin"


def _make(folder: Path, requirements: Path) -> None:
    uv = next((str(path) for path in [TOOLS / "uv"] if path.exists()), None) or shutil.which("uv")
    python = str(folder / "bin" / "python")
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", python, "-r", str(requirements))
    else:
        venv.create(folder, with_pip=True)
        _run(python, "-m", "pip", "install", "--quiet", "-r", str(requirements))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
