"""What keeps a candidate to itself, tried in processes of our own; and what is said where the system cannot do it."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gatekeeper.sandbox import child, descendants, isolation, landlock, seccomp
from gatekeeper.sandbox.isolation import Isolation, confine, tried
from gatekeeper.sandbox.protocol import REQUEST

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is tested is what Linux does")

CLOSED = Isolation("isolated", "confined", "none")


@pytest.fixture
def closed(tmp_path: Path) -> Isolation:
    found = tried(tmp_path)
    if found.gaps:
        pytest.skip(f"this kernel leaves something open: {found.gaps}")
    return found


def inside(folder: Path, code: str, *, processes: bool = False) -> str:
    """Run Python in a process that is confined to `folder`; what it printed, or the error that ended it."""
    lines = ["from pathlib import Path", "from gatekeeper.sandbox.isolation import confine", "import os, sys, socket"]
    lines += [f"confine(Path({str(folder)!r}), Path({str(folder)!r}), processes={processes})", textwrap.dedent(code)]
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60, cwd=folder, check=False
    )
    return ended.stdout.strip() or ended.stderr.strip().splitlines()[-1]


EPERM, EACCES = "[Errno 1] Operation not permitted", "[Errno 13] Permission denied"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("socket.socket()", EPERM),
        ("socket.socket(socket.AF_UNIX)", EPERM),
        ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", EPERM),
        ("os.fork()", EPERM),
        ("os.posix_spawn('/bin/true', ['true'], {})", EPERM),
        ("import subprocess; subprocess.run(['true'])", EPERM),
        ("os.kill(os.getppid(), 0)", EPERM),
        ("os.kill(1, 0)", EPERM),
        ("os.pidfd_open(os.getppid())", EPERM),
        ("import resource; resource.prlimit(os.getppid(), resource.RLIMIT_CORE)", EPERM),
        ("open(f'/proc/{os.getppid()}/environ')", EACCES),
        ("os.listdir('/')", EACCES),
        ("os.listdir(os.path.expanduser('~'))", EACCES),
        ("open('/etc/shadow')", EACCES),
        ("open('../elsewhere', 'w')", EACCES),
        ("open('/proc/self/oom_score_adj', 'w')", EACCES),
        ("os.mkdir('/dev/shm/mine')", EACCES),
        ("open('mine', 'w').write('x'); print(open('mine').read())", "x"),
        ("os.mkdir('a'); os.rename('a', 'b'); os.rmdir('b'); print('done')", "done"),
        ("import threading; t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()", "thread"),
        ("os.kill(os.getpid(), 0); import resource; resource.getrlimit(resource.RLIMIT_AS); print('own')", "own"),
        ("import asyncio; asyncio.run(asyncio.sleep(0)); print('loop')", "loop"),
        ("import numpy, sklearn.linear_model, pandas; print(pandas.Timestamp('2013', tz='Europe/Paris').year)", "2013"),
    ],
)
def test_what_a_candidate_may_and_may_not(closed: Isolation, tmp_path: Path, code: str, says: str) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert says in inside(folder, code)


def test_with_processes_it_may_start_some_and_still_signal_nobody_else(closed: Isolation, tmp_path: Path) -> None:
    start = "import subprocess; print(subprocess.run(['echo', 'hello'], capture_output=True).stdout)"
    assert "hello" in inside(tmp_path, start, processes=True)
    assert EPERM in inside(tmp_path, "socket.socket()", processes=True)
    assert "Permission" in inside(tmp_path, f"print(open('/proc/{os.getpid()}/environ').read())", processes=True)
    ends = "p = __import__('subprocess').Popen(['sleep', '60']); p.kill(); print(p.wait())"
    assert inside(tmp_path, ends, processes=True) == "-9"
    if "others cannot be signalled" in confined_with_processes(tmp_path).processes:
        assert EPERM in inside(tmp_path, "os.kill(os.getppid(), 0)", processes=True)


def confined_with_processes(folder: Path) -> Isolation:
    says = "print(__import__('json').dumps(confine(Path('.'), Path('.'), processes=True).as_json()))"
    return Isolation(**json.loads(inside(folder, says, processes=True)))


def test_what_the_system_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(landlock, "CREATE_RULESET", 100_000)
    found = tried(tmp_path)
    assert found.files == "open: the kernel has no Landlock (Function not implemented)"
    assert found.network.startswith("isolated")
    monkeypatch.setattr(seccomp, "MACHINES", {})
    found = tried(tmp_path)
    assert found.network == "isolated (network namespace)" or found.network.startswith("open: no filter is written for")
    assert found.processes.startswith("open: no filter is written for")
    monkeypatch.setattr(isolation, "CLONE_NEWNET", -1)
    found = tried(tmp_path)
    assert "and no namespace: Invalid argument" in found.network
    assert len(found.gaps) == 3
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "darwin has no Landlock" in confine(tmp_path, tmp_path, processes=False).network


def test_what_is_said_to_be_closed_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(isolation, "confine", lambda *_, **__: CLOSED)
    assert tried(tmp_path).gaps == (
        "network open: a socket could be made all the same",
        "files open: the root folder could be read all the same",
    )


def test_a_child_that_is_less_isolated_than_was_found_out_runs_nothing(monkeypatch, tmp_path, capfd) -> None:
    (tmp_path / REQUEST).write_text(json.dumps({"model": str(tmp_path), "processes": False}))
    monkeypatch.setattr(landlock, "CREATE_RULESET", 100_000)
    pid = os.fork()
    if pid == 0:
        os._exit(child.main(tmp_path, CLOSED, -1))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == child.NOT_ISOLATED
    assert "less isolated than expected" in capfd.readouterr().err


def test_all_that_came_of_a_process_is_ended(tmp_path: Path) -> None:
    """In sessions of their own, without environment, orphaned, and while they go on starting others."""
    code = """
        import os, subprocess, sys, time
        from gatekeeper.sandbox.descendants import adopt_orphans
        adopt_orphans()
        again = "import os, time\\nfor _ in range(5):\\n    time.sleep(.05); os.fork() or os.setsid()\\ntime.sleep(600)"
        for _ in range(2):
            subprocess.Popen([sys.executable, "-c", again], start_new_session=True, env={})
        print("started", flush=True)
        time.sleep(600)
    """
    limit = resource.getrlimit(resource.RLIMIT_NPROC)
    started = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"started\n"
    assert descendants.end_all(started.pid)
    assert descendants.of(started.pid) == set()
    assert started.poll() is None and resource.getrlimit(resource.RLIMIT_NPROC) == limit
    started.kill()
    started.wait()
    started.stdout.close()


def test_a_socket_can_be_made_here(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    socket.socket().close()
    assert os.listdir("/")
