"""Models that nobody should promote: what each tries, which gate says no to it, and with which words.

`predict` is the body of `predict(frame)`, `load` runs when the model is loaded. `{secret}`, `{outside}`, `{port}` and
`{pid}` stand for a file that is not theirs, a folder outside the scratch folder, a server and a process here.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

GOOD = "return 1 / (1 + np.exp(-2 * frame['a'].to_numpy()))"


class Calling:
    """Pickles as a call: what a pickle by hand would be."""

    def __init__(self, module: str, name: str, *args: Any) -> None:
        self.call = (module, name, args)

    def raw(self) -> bytes:
        """Protocol 0, so that nothing has to be importable, or is run, here."""
        module, name, args = self.call
        arguments = b"".join(pickle.dumps(item, 0)[:-1] for item in args)
        return b"c" + module.encode() + b"\n" + name.encode() + b"\n(" + arguments + b"tR."


@dataclass(frozen=True)
class Bad:
    """`raw` is the model file of a candidate that is a scikit-learn model, to its MLmodel file."""

    name: str
    tries: str
    gate: str
    says: str
    predict: str = GOOD
    load: str = "pass"
    raw: Calling | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("a",)
    roles: dict[str, Any] = field(default_factory=dict)
    seconds: float = 60
    outcome: str = "Failed"


NOT_PERMITTED = "PermissionError: [Errno 1] Operation not permitted"
DENIED = "PermissionError: [Errno 13] Permission denied"

CORPUS: tuple[Bad, ...] = (
    Bad(
        "pickle-system",
        "runs a shell command when it is unpickled",
        "integrity",
        "calls os.system",
        raw=Calling("os", "system", "touch {outside}/was-here"),
    ),
    Bad(
        "pickle-exec",
        "runs Python when it is unpickled, which writes a file",
        "functional",
        DENIED,
        raw=Calling("builtins", "exec", "open('{outside}/was-here', 'w').write('x')"),
    ),
    Bad(
        "pickle-hidden",
        "imports a name that no scanner knows, in a file that is not named as a pickle",
        "integrity",
        "numpy._core._ufunc_reconstruct, which the allow-list does not have",
        raw=Calling("numpy._core", "_ufunc_reconstruct", "os", "getcwd"),
        policy={"integrity": {"serialisation": "allow_listed"}},
    ),
    Bad(
        "code-beside-it",
        "contains code that runs when it is loaded, although the policy forbids it",
        "integrity",
        "code/candidate.py is code that runs when the model is loaded",
        policy={"integrity": {"serialisation": "safe"}},
    ),
    Bad(
        "hang-at-load",
        "never ends loading",
        "functional",
        "did not end within 4 s while loading",
        load="time.sleep(600)",
        seconds=4,
    ),
    Bad("hang", "never predicts", "functional", "did not end within 4 s while answering", "time.sleep(600)", seconds=4),
    Bad("busy", "computes for ever", "functional", "did not end within 4 s", "while True: pass", seconds=4),
    Bad("fork", "starts a process that outlives it", "functional", NOT_PERMITTED, "os.fork() or time.sleep(600)"),
    Bad("fork-bomb", "starts processes until nothing else runs", "functional", NOT_PERMITTED, "while True: os.fork()"),
    Bad(
        "shell",
        "runs a program",
        "functional",
        NOT_PERMITTED,
        "subprocess.run(['touch', '{outside}/was-here'], check=True)",
    ),
    Bad(
        "memory", "allocates 50 GB", "functional", "ran out of memory", "return np.ones(50 * 2**30 // 8)[: len(frame)]"
    ),
    Bad(
        "memory-shared",
        "leaves shared memory behind that belongs to no process",
        "functional",
        "PermissionError",
        "from multiprocessing.shared_memory import SharedMemory\nSharedMemory(create=True, size=2**20)",
    ),
    Bad(
        "disk",
        "fills the disk, a file at a time",
        "functional",
        "wrote more than 64 MiB to disk",
        "for number in range(10**6):\n    open(f'f{{number}}', 'wb').write(bytes(2**20)); time.sleep(0.005)",
    ),
    Bad(
        "disk-hidden",
        "fills the disk with files that are already deleted",
        "functional",
        "wrote more than 64 MiB to disk",
        "kept = []\nfor number in range(400):\n    kept.append(open('f', 'wb'))\n    os.unlink('f')\n"
        "    kept[-1].write(bytes(2**20)); kept[-1].flush(); time.sleep(0.005)\ntime.sleep(60)",
    ),
    Bad("outside", "writes outside its folder", "functional", DENIED, "open('{outside}/was-here', 'w')"),
    Bad(
        "itself",
        "changes its own files, for whoever loads them next",
        "functional",
        DENIED,
        "open(__file__, 'a').write('# and more')",
    ),
    Bad(
        "secrets", "reads files that are not its own", "functional", DENIED, "raise ValueError(open('{secret}').read())"
    ),
    Bad(
        "environment",
        "prints the secrets in another process's environment",
        "functional",
        "PermissionError",
        "print(open('/proc/{pid}/environ').read()); raise ValueError('printed')",
    ),
    Bad(
        "environment-own",
        "prints the secrets in its environment",
        "functional",
        "raised ValueError: printed",
        "print(*os.environ.values()); raise ValueError('printed')",
    ),
    Bad(
        "network",
        "sends something to a server",
        "functional",
        NOT_PERMITTED,
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5).sendall(b'stolen')",
    ),
    Bad("kill-parent", "kills the process that watches it", "functional", NOT_PERMITTED, "os.kill(os.getppid(), 9)"),
    Bad("kill-service", "kills the service", "functional", NOT_PERMITTED, "os.kill({pid}, 15)"),
    Bad(
        "limit-service",
        "sets a limit that kills the service",
        "functional",
        "PermissionError",
        "import resource\nresource.prlimit({pid}, resource.RLIMIT_NOFILE, (1024, 1024))",
    ),
    Bad("nan", "predicts NaN", "functional", "5 of 5 answers are NaN", "return np.full(len(frame), np.nan)"),
    Bad("words", "predicts words", "functional", "'yes'", "return ['yes'] * len(frame)"),
    Bad("shape", "predicts in another shape", "functional", "shape (5, 3, 2)", "return np.zeros((len(frame), 3, 2))"),
    Bad(
        "too-many",
        "predicts more rows than it received",
        "functional",
        "6 answers for 5 rows",
        "return np.zeros(len(frame) + 1)",
    ),
    Bad("range", "predicts numbers that are not probabilities", "functional", "1.5", "return np.full(len(frame), 1.5)"),
    Bad(
        "twice",
        "predicts differently the second time",
        "functional",
        "differently the second time",
        "return np.random.default_rng().random(len(frame))",
    ),
    Bad("label", "reads the label column", "functional", "KeyError: 'late'", "return frame['late'].to_numpy()"),
    Bad(
        "label-in-signature",
        "names the label column in its signature",
        "functional",
        "its signature asks for the label column 'late', which no model is given",
        "return frame['late'].to_numpy() if 'late' in frame else np.full(len(frame), 0.5)",
        inputs=("a", "late"),
    ),
    Bad(
        "label-of-its-own",
        "names another column as the label, one that it receives",
        "performance",
        "the model's metadata names 'b' as label, the golden dataset 'late'",
        "return (frame['b'] > 0).to_numpy().astype(float)",
        inputs=("a", "b"),
        roles={"label": "b"},
        outcome="Inconclusive",
    ),
    Bad(
        "label-on-disk",
        "reads the golden rows where the service keeps them",
        "functional",
        DENIED,
        "return pd.read_parquet('{secret}')['late'].to_numpy()",
    ),
    Bad(
        "forged",
        "writes the results itself and exits early",
        "functional",
        "ended its process",
        "open('facts.json', 'w').write('{{\"stage\": \"loading\"}}')\n"
        "np.save('golden.npy', np.zeros(900))\nos._exit(0)",
    ),
    Bad(
        "forged-link",
        "writes links to other files as results",
        "functional",
        "left no readable answers",
        "os.symlink('{secret}', 'first.npy')\n"
        "facts = open('facts.json').read().replace('answering the input example', 'ending')\n"
        "open('facts.json', 'w').write(facts)\nos._exit(0)",
    ),
    Bad(
        "dies",
        "crashes the interpreter",
        "functional",
        "was killed by signal 11",
        "os.kill(os.getpid(), signal.SIGSEGV)",
    ),
)
