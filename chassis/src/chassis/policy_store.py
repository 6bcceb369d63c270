"""The policies in force: files of a folder that are added, changed and removed while services run.

A file is taken up when two looks in a row find the same content (or absence): what an editor writes in steps, or
removes for a moment, is never in force. The folder is looked at by content each second: notifications of the file
system do not arrive from network mounts, nor from mounts of containers.
"""

from __future__ import annotations

import asyncio
import re
import stat
import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chassis.background import Background
from chassis.errors import Transient
from chassis.policies import PolicyError, parse_policy, shown
from chassis.telemetry import get_logger
from chassis.yaml_file import LARGEST_FILE
from contracts.policy import ModelPolicy

LOOK_SECONDS = 1.0
SUFFIXES = (".yaml", ".yml")
NAMED = re.compile(rb"^model:[ \t]*[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)

log = get_logger(__name__)


@dataclass(frozen=True)
class PolicyFile:
    """A file as it was read: its policy, or why it has none. `model`: what it names, as far as that is legible."""

    name: str
    model: str | None
    policy: ModelPolicy | None = None
    problem: str = ""


@dataclass(frozen=True)
class InForce:
    """The policy of a model, the file that it came from, and when it was taken up."""

    policy: ModelPolicy
    file: str
    since: datetime


@dataclass(frozen=True)
class PolicyProblem:
    """A file that is not in force. `kept`: an earlier policy of its model is, until the file is mended or removed."""

    file: str
    model: str | None
    reason: str
    kept: bool


def decide(
    files: Iterable[PolicyFile], before: Mapping[str, InForce], now: datetime
) -> tuple[dict[str, InForce], tuple[PolicyProblem, ...]]:
    """Return the policies in force by model, and the files that are not.

    A model whose file is broken, or that several files name, keeps the policy that was in force `before`. It has none
    if there was none: no file is preferred by its name, which would choose differently after a restart.
    """
    good: dict[str, list[PolicyFile]] = {}
    broken: list[PolicyFile] = []
    for file in files:
        if file.policy is None:
            broken.append(file)
        else:
            good.setdefault(file.policy.model, []).append(file)
    found: dict[str, InForce] = {}
    problems: list[PolicyProblem] = []
    for model, naming in good.items():
        old, names = before.get(model), ", ".join(file.name for file in naming)
        if len(naming) == 1:
            [file] = naming
            same = old is not None and (old.policy, old.file) == (file.policy, file.name)
            assert file.policy is not None
            found[model] = old if same and old else InForce(file.policy, file.name, now)
            continue
        if old is not None:
            found[model] = old
        reason = f"model {model!r} is named in {len(naming)} files ({names}): leave it in one of them"
        problems += [PolicyProblem(file.name, model, reason, kept=old is not None) for file in naming]
    for file in broken:
        kept = {
            model: old
            for model, old in before.items()
            if model not in good and (old.file == file.name or model == file.model)
        }
        found |= kept
        problems.append(PolicyProblem(file.name, file.model, file.problem, kept=bool(kept)))
    return found, tuple(sorted(problems, key=lambda problem: problem.file))


class PolicyStore(Background, Mapping[str, ModelPolicy]):
    """A Part, and the policies by model name as they are now.

    What takes a while reads its policy once, at its beginning. `required`: the service waits to start until the folder
    exists. A folder that vanishes later changes nothing.
    """

    name = "policies"

    def __init__(self, folder: Path, *, required: bool = True) -> None:
        """Take up what is there; a file that is being written may be complete only at the second look."""
        self._folder, self._required = folder, required
        self._read: dict[str, tuple[tuple[int, ...], float, bytes]] = {}
        self._seen: dict[str, bytes | str] | None = None
        self._taken: dict[str, bytes | str] = {}
        self._parsed: dict[str, PolicyFile] = {}
        self._in_force: Mapping[str, InForce] = {}
        self._problems: tuple[PolicyProblem, ...] = ()
        self._folder_problem: str | None = None
        self._looking = threading.Lock()
        self._hooks: list[Callable[[], None]] = []
        self._logs = False  # from its start as a part on; a command reads the folder once, and prints what it found
        self.look()

    def __getitem__(self, model_name: str) -> ModelPolicy:
        return self._in_force[model_name].policy

    def __iter__(self) -> Iterator[str]:
        return iter(self._in_force)

    def __len__(self) -> int:
        return len(self._in_force)

    def items(self) -> ItemsView[str, ModelPolicy]:
        """Return all of one moment: `_in_force` is replaced as a whole."""
        return {name: each.policy for name, each in self._in_force.items()}.items()

    def values(self) -> ValuesView[ModelPolicy]:
        return dict(self.items()).values()

    @property
    def folder(self) -> str:
        """The folder, as its user names it."""
        return shown(self._folder)

    @property
    def problems(self) -> tuple[PolicyProblem, ...]:
        return self._problems

    def why_missing(self, model_name: str) -> str:
        """Return the sentence for a model that has no policy: nothing names it, or its file cannot be used."""
        if problem := self.problem_of(model_name):
            return f"model {model_name!r} has no policy that can be used: {problem}"
        add = f"add {self.folder}{model_name}.yaml, beginning with `model: {model_name}`"
        return f"model {model_name!r} has no policy in {self.folder}; {add}"

    def problem_of(self, model_name: str) -> str | None:
        """Return what is wrong with the files of a model, or with the whole folder."""
        problem = self._naming(model_name)
        return self._folder_problem if problem is None else problem.reason

    def file_of(self, model_name: str) -> Path | None:
        """Return the file of a model's policy: the one in force, else one that cannot be used; None without any."""
        if (in_force := self._in_force.get(model_name)) is not None:
            return self._folder / in_force.file
        problem = self._naming(model_name)
        return None if problem is None else self._folder / problem.file

    def _naming(self, model_name: str) -> PolicyProblem | None:
        found = (each for each in self._problems if model_name in (each.model, Path(each.file).stem))
        return next(found, None)

    def details(self) -> dict[str, Any]:
        """Return what /ready shows: which policy is in force, by digest, and what is not, with the reason."""
        problems = [asdict(problem) for problem in self._problems]
        if self._folder_problem:
            problems.append({"file": None, "model": None, "reason": self._folder_problem, "kept": bool(self)})
        in_force = {
            model: {"digest": each.policy.digest, "file": each.file, "since": each.since.isoformat()}
            for model, each in sorted(self._in_force.items())
        }
        return {"folder": self.folder, "in_force": in_force, "problems": problems}

    def on_change(self, hook: Callable[[], None]) -> None:
        """Call `hook`, in a thread, whenever a policy was added, changed or removed."""
        self._hooks.append(hook)

    async def start(self) -> None:
        """Raises Transient while a required folder does not exist."""
        await asyncio.to_thread(self.look)
        if self._folder_problem and self._required:
            raise Transient(self._folder_problem)
        self._log({}, ())
        self._logs = True
        await super().start()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # whatever is in the folder, the next look must follow
                log.exception("policies not read")

    def look(self) -> None:
        """Look at the folder once, and take up what this look and the one before found alike."""
        with self._looking:
            present = self._contents()
            if present is None:
                return
            before, self._seen = self._seen, present
            names = present.keys() | self._taken.keys()
            settled = {name for name in names if before is None or before.get(name) == present.get(name)}
            changed = {name for name in settled if self._taken.get(name) != present.get(name)}
            for name in changed:
                if name in present:
                    self._taken[name] = present[name]
                    self._parsed[name] = self._parse(name, present[name])
                else:
                    del self._taken[name], self._parsed[name]
            if changed:
                self._put_in_force()

    def _contents(self) -> dict[str, bytes | str] | None:
        """Return contents by file name, a text where a file cannot be read; None when the folder cannot be."""
        found: dict[str, bytes | str] = {}
        try:
            paths = [path for path in self._folder.iterdir() if _is_policy(path)]
        except OSError as error:
            why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            self._say_folder(f"the folder of policies, {self.folder}, {why}" if self._required or self else None)
            return None
        self._say_folder(None)
        for path in paths:
            try:
                if (content := self._content(path)) is not None:
                    found[path.name] = content
            except FileNotFoundError:
                continue  # removed meanwhile, or a link to nothing
            except OSError as error:
                found[path.name] = f"{self.folder}{path.name}: {error.strerror or error}"
        self._read = {name: read for name, read in self._read.items() if name in found}
        return found

    def _content(self, path: Path) -> bytes | None:
        """Read a file, or return what was read before if its times say that it has not changed."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        now = datetime.now(UTC).timestamp()
        identity = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
        known = self._read.get(path.name)
        # Times are as coarse as the file system's clock: what changed just before it was read may have changed again.
        if known is not None and known[0] == identity and known[1] - status.st_mtime > 2 * LOOK_SECONDS:
            return known[2]
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        self._read[path.name] = (identity, now, content)
        return content

    def _parse(self, name: str, content: bytes | str) -> PolicyFile:
        if isinstance(content, str):
            return PolicyFile(name, None, problem=content)
        try:
            policy = parse_policy(content, Path(f"{self.folder}{name}"))
        except PolicyError as error:
            named = NAMED.search(content)
            return PolicyFile(name, named[1].decode() if named else None, problem=str(error))
        return PolicyFile(name, policy.model, policy)

    def _put_in_force(self) -> None:
        before, known = self._in_force, self._problems
        files = [self._parsed[name] for name in sorted(self._parsed)]
        self._in_force, self._problems = decide(files, before, datetime.now(UTC))
        if self._logs:
            self._log(before, known)
        if self._in_force != before:
            for hook in self._hooks:
                hook()

    def _log(self, before: Mapping[str, InForce], known: Sequence[PolicyProblem]) -> None:
        """Log how this differs from what was before."""
        for model, each in self._in_force.items():
            if before.get(model) is not each:
                log.info("policy in force", model_name=model, file=each.file, digest=each.policy.digest)
        for model in before.keys() - self._in_force.keys():
            log.info("policy removed", model_name=model, file=before[model].file)
        for problem in self._problems:
            if problem not in known:
                said = "the earlier policy stays in force" if problem.kept else "its model has no policy"
                log.error("policy not usable", file=problem.file, reason=problem.reason, effect=said)

    def _say_folder(self, problem: str | None) -> None:
        if problem and problem != self._folder_problem and self._logs:
            log.error("policies not read", reason=problem)
        self._folder_problem = problem


def _is_policy(path: Path) -> bool:
    """Whether the name is a policy's; a name that begins with a dot or # is an editor's or the file system's own."""
    return path.suffix in SUFFIXES and not path.name.startswith((".", "#"))
