"""MLServer in an environment of its own: it pins what ours has newer."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from benchmarks.serving.environments import environment

from support import processes

SIDE = Path(__file__).with_name("mlserver_side.py")


@dataclass
class MLServer:
    """The process that MLServer's types are in; what is called on it are the functions of mlserver_side.py."""

    bin: Path
    process: subprocess.Popen[Any]
    log: Path

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[MLServer]:
        """Skips the test when it cannot be installed, which needs the network."""
        # Of this run alone, and gone with it: two runs at once share nothing but the installer's own cache.
        with tempfile.TemporaryDirectory(prefix="gauntlet-mlserver-", ignore_cleanup_errors=True) as folder:
            try:
                bin_folder = environment("mlserver", Path(folder))
            except RuntimeError as error:
                pytest.skip(f"MLServer cannot be installed here: {' '.join(str(error).split())[-400:]}")
            log = Path(folder) / "side.log"
            command = [str(bin_folder / "python"), "-I", str(SIDE)]  # isolated: nothing of ours is lent to it
            with log.open("wb") as errors:
                pipe = subprocess.PIPE
                process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True)
            try:
                yield cls(bin_folder, process, log)
            finally:
                processes.end(process)

    def __getattr__(self, function: str) -> Any:
        def call(*arguments: Any) -> Any:
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.write(json.dumps([function, arguments]).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            assert line, f"MLServer's process has ended:\n{self.log.read_text()[-3000:]}"
            answer = json.loads(line)
            assert "returns" in answer, answer["raises"]
            return answer["returns"]

        return call
