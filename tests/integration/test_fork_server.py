"""The fork server: what it forks is what the same command would have been as a program of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from chassis.processes.launcher import FORK_SERVER, ForkedProcess, Process, start
from chassis.processes.owner import LIBRARIES, ForkServer
from support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

SHOW = """
import gc, json, os, signal, sys, threading
import numpy, scipy.linalg, sklearn.ensemble, threadpoolctl
json.dump({
    "name": __name__, "arguments": sys.argv[1:], "original": sys.orig_argv, "folder": os.getcwd(), "path": sys.path,
    "environment": {name: os.environ[name] for name in sorted(os.environ) if not name.startswith("KMP_")},
    "shown": sorted(line for line in open("/proc/self/environ").read().split(chr(0)) if line),
    "command": open("/proc/self/cmdline").read().strip(chr(0)).split(chr(0)),
    "session": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "signals": {item.name: str(signal.getsignal(item)) for item in signal.Signals if item.name != "SIGRTMIN"},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "descriptors": sorted(os.listdir("/proc/self/fd")), "mask": os.umask(0o22), "priority": os.nice(0),
    "streams": [[s.encoding, s.errors, s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "pools": sorted((pool["user_api"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info()),
    "threads": threading.active_count(), "gc": gc.isenabled(), "bytecode": sys.dont_write_bytecode,
    "executable": sys.executable, "prefix": sys.prefix, "main": sys.modules["__main__"].__name__,
}, sys.stdout)
"""


@pytest.fixture(autouse=True)
def nothing_is_forked_by_the_server_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORK_SERVER, raising=False)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer().start()
    yield server
    server.stop()


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder of modules that `-m` finds."""
    (tmp_path / "show.py").write_text(SHOW)
    return tmp_path


def run(server: ForkServer | None, code: str, folder: Path, **options: Any) -> Process:
    """`python -m` of a module with this code, forked if there is a server."""
    name = f"module_{len(list(folder.iterdir()))}"
    (folder / f"{name}.py").write_text(code)
    environment = {**os.environ, **(server.variable if server else {}), **options.pop("env", {})}
    return start([sys.executable, "-m", name], env=environment, cwd=folder, **options)


def shown(environment: Mapping[str, str], folder: Path, *flags: str) -> dict[str, Any]:
    command = [sys.executable, *flags, *(["show.py"] if "-I" in flags else ["-m", "show"]), "one", "two words"]
    process = start(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        found: dict[str, Any] = json.loads(process.stdout.read())
    assert process.wait(20) == 0
    return {**found, "forked": isinstance(process, ForkedProcess)}


def test_the_server_has_one_thread_nothing_of_ours_and_every_library(server: ForkServer, tmp_path: Path) -> None:
    assert server.await_ready() == {"ready": True, "threads": 1, "missing": {}}
    code = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    process = run(server, code, tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        modules = json.loads(process.stdout.read())
    process.wait()
    ours = {"contracts", "trainer", "gatekeeper", "serving", "drift", "gauntlet", "forms", "examples"}
    assert ours.isdisjoint(name.partition(".")[0] for name in modules)
    of_chassis = {name for name in modules if name.startswith("chassis.")}
    assert of_chassis == {"chassis.processes", "chassis.processes.forked"}
    assert set(LIBRARIES) <= set(modules)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, ()),
        ({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TZ": "Asia/Tokyo"}, ("-B",)),
        ({"OMP_NUM_THREADS": "3", "PYTHONUNBUFFERED": "1"}, ()),
        ({"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}, ("-I", "-B")),
    ],
)
def test_a_forked_process_is_as_one_that_was_started(
    server: ForkServer, scripts: Path, changes: dict[str, str], flags: tuple[str, ...]
) -> None:
    plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    plain["LANG"] = os.environ.get("LANG", "C.UTF-8")
    environment = {**plain, "PYTHONPATH": "/somewhere", "A": "1", "É": "ü", **changes}
    program = shown(environment, scripts, *flags)
    forked = shown({**environment, **server.variable}, scripts, *flags)
    assert (program.pop("forked"), forked.pop("forked")) == (False, True)
    variable = {f"{name}={value}" for name, value in server.variable.items()}
    assert set(forked["shown"]) - variable == set(program.pop("shown"))
    del forked["shown"], forked["environment"]["GAUNTLET_FORK_SERVER"]
    # Every process has the streams of this test, which are one less where one of them is closed.
    assert forked == program


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import sys; sys.exit('why')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(9)", 9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_how_it_ends_and_what_it_prints_is_the_same(server: ForkServer, tmp_path: Path, code: str, status: int) -> None:
    said = {}
    for which in (server, None):
        log = tmp_path / "log.txt"
        with log.open("wb") as file:
            body = f"import atexit; atexit.register(print, 'the end'); print('out', flush=True)\n{code}\n"
            process = run(which, body, tmp_path, stdout=file, stderr=subprocess.STDOUT)
        assert process.wait(20) == status == process.poll() == process.returncode
        said[which is server] = re.sub(r"module_\d", "module", log.read_text())
    assert said[True].splitlines()[0] == "out"
    assert said[True].splitlines()[-1] == said[False].splitlines()[-1]
    assert ("the end" in said[True]) == ("the end" in said[False])


def test_pipes_carry_what_is_written_and_close_with_the_process(server: ForkServer, tmp_path: Path) -> None:
    code = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)\nprint('closed')"
    process = run(server, code, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"a line\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"A LINE\n"
    process.stdin.close()
    with process.stdout:
        assert process.stdout.read() == b"closed\n"
    assert process.wait(20) == 0


def test_descriptors_are_passed_on_under_their_numbers_and_no_others(server: ForkServer, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    other, another = os.pipe()
    code = f"import os; found = os.path.exists('/proc/self/fd/{other}'); os.write({writing}, b'here%d' % found)"
    process = run(server, code, tmp_path, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"here0"
    for handle in (other, another):
        os.close(handle)
    assert process.wait(20) == 0


def test_wait_gives_up_in_time_and_signals_arrive(server: ForkServer, tmp_path: Path) -> None:
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
    code += "print('set', flush=True)\ntime.sleep(60)"
    process = run(server, code, tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 5
    process.kill()  # of a process that has ended: nothing


def test_what_one_process_was_given_is_not_in_the_memory_of_the_server(server: ForkServer, tmp_path: Path) -> None:
    secret = f"secret-{os.urandom(8).hex()}"
    process = run(server, "", tmp_path, env={"PASSWORD": secret})
    assert process.wait(20) == 0
    assert server.pid is not None
    assert not in_memory(server.pid, secret)
    assert in_memory(server.pid, "threadpoolctl")


def test_a_process_is_a_zombie_until_its_end_was_heard(server: ForkServer, tmp_path: Path) -> None:
    process = run(server, "", tmp_path)
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert process.poll() == 0
    eventually(lambda: not psutil.pid_exists(process.pid))


CLIENT = """
import os, subprocess, sys, time
from chassis.processes.launcher import start
process = start([sys.executable, "-m", "sleeper"], dies_with_client={dies}, stdout=subprocess.PIPE)
print(process.pid, process.stdout.readline(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("dies", [True, False])
def test_a_process_outlives_a_killed_client_unless_it_must_not(server: ForkServer, tmp_path: Path, dies: bool) -> None:
    (tmp_path / "sleeper.py").write_text("import time; print('up', flush=True); time.sleep(60)")
    client = run(server, CLIENT.format(dies=dies), tmp_path, stdout=subprocess.PIPE)
    assert client.stdout is not None
    with client.stdout:
        pid = int(client.stdout.readline().split()[0])
    other = run(server, "", tmp_path)  # the server goes on with others meanwhile
    client.kill()
    client.wait(20)
    other.wait(20)
    if dies:
        eventually(lambda: not psutil.pid_exists(pid))
    else:
        assert psutil.Process(pid).is_running()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(pid))


def test_no_forked_process_outlives_its_server_and_the_next_one_is_a_program(tmp_path: Path) -> None:
    server = ForkServer(libraries=["json"]).start()
    sleeper = run(server, "import time; time.sleep(60)", tmp_path)
    assert isinstance(sleeper, ForkedProcess)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert sleeper.wait(20) == -signal.SIGKILL
    eventually(lambda: not psutil.pid_exists(sleeper.pid))
    process = run(server, "", tmp_path)
    assert isinstance(process, subprocess.Popen)
    assert process.wait(20) == 0
    server.stop()


def test_a_server_whose_owner_is_killed_ends_after_its_last_process(tmp_path: Path) -> None:
    code = """
import os, sys, time
from chassis.processes.launcher import start
from chassis.processes.owner import ForkServer
server = ForkServer(libraries=["json"]).start()
sleeper = start([sys.executable, "-m", "sleeper"], env={**os.environ, **server.variable})
print(server.pid, sleeper.pid, list(server.variable.values())[0].partition(":")[0], flush=True)
time.sleep(60)
"""
    (tmp_path / "sleeper.py").write_text("import time; time.sleep(60)")
    owner = run(None, code, tmp_path, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        server, sleeper, path = owner.stdout.readline().decode().split()
    owner.kill()
    owner.wait(20)
    assert psutil.pid_exists(int(sleeper))
    assert psutil.pid_exists(int(server))
    os.kill(int(sleeper), signal.SIGTERM)
    eventually(lambda: not psutil.pid_exists(int(sleeper)) and not psutil.pid_exists(int(server)))
    assert not Path(path).parent.exists()


def test_a_server_forked_from_a_server_has_its_libraries_at_once(server: ForkServer, tmp_path: Path) -> None:
    code = """
import os, sys, json
from chassis.processes.launcher import FORK_SERVER, ForkedProcess, start
from chassis.processes.owner import ForkServer
server = ForkServer({"GAUNTLET_MARK": "inner"}).start()
ready = server.await_ready()
process = start([sys.executable, "-m", "mark"], env={**os.environ, **server.variable})
print(json.dumps([ready["threads"], isinstance(server._process, ForkedProcess), process.wait(20)]))
server.stop()
"""
    (tmp_path / "mark.py").write_text("import sys; sys.exit(0 if 'mlflow' in sys.modules else 1)")
    process = run(server, code, tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert json.loads(process.stdout.read()) == [1, True, 0]
    assert process.wait(20) == 0


def test_a_library_that_is_missing_is_said_and_the_others_are_there() -> None:
    server = ForkServer(libraries=["json", "no_such_library"]).start()
    missing = server.await_ready()["missing"]
    server.stop()
    assert missing == {"no_such_library": "ModuleNotFoundError: No module named 'no_such_library'"}


def in_memory(pid: int, text: str) -> bool:
    """Whether a text is in what a process may write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            where, rights, *_ = line.split()
            if rights.startswith("rw"):
                first, end = (int(number, 16) for number in where.split("-"))
                memory.seek(first)
                if text.encode() in memory.read(end - first):
                    return True
    return False
