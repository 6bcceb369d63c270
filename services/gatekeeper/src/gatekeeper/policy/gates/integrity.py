"""Gate: the artifact is the registered one, and opening it runs no forbidden code and needs only what is installed.

Decides on the contents of the files; no code of the model has run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Integrity
from contracts.policy import ModelPolicy
from gatekeeper.policy.allow_list import DEFAULT, outside
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import plain

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "integrity"
needs: frozenset[Need] = frozenset()
section = plain

Format = Literal["pickle", "skops", "onnx", "native", "data", "code", "other"]

CARRIES_CODE = "cloudpickle."
"""Prefix of the globals by which cloudpickle builds functions and classes from code inside the pickle."""

MOST_SUGGESTED = 20
AS_SKOPS = 'mlflow.sklearn.log_model(…, serialization_format="skops", skops_trusted_types=[…])'

RUNS_NOTHING = frozenset({"mlflow.sklearn", "mlflow.onnx", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost"})
"""Loaders that run no code of the model's folder except what its file triggers."""


@dataclass(frozen=True)
class File:
    """One file of the artifact. `names`: globals imported on opening; `flagged`: those that a scanner warns of."""

    path: str
    format: Format
    opened: bool = False
    """The MLmodel file names it as opened by the loader."""
    names: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    problem: str | None = None
    """Reason why it could not be read completely."""


@dataclass(frozen=True)
class Dependency:
    """A declared requirement, and the version installed where models are served; None: not installed.

    `same_major`: that is of the major version that was declared. `provider`: the package that provides the module, if
    that has another name (xgboost-cpu for xgboost).
    """

    package: str
    requirement: str
    installed: str | None
    satisfied: bool
    same_major: bool = False
    provider: str | None = None


@dataclass(frozen=True)
class Vulnerability:
    package: str
    version: str
    advisory: str
    summary: str


@dataclass(frozen=True)
class Facts:
    """Contents of the artifact. `advisories`: number of advisories checked, None without a source."""

    trouble: MeasurementError | None = None
    declared: str | None = None
    measured: str | None = None
    loader: str | None = None
    files: tuple[File, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    unread_requirements: tuple[str, ...] = ()
    advisories: int | None = None
    vulnerabilities: tuple[Vulnerability, ...] = ()
    suggests: bool = False
    """Whether the reason says what to do: not in older evidence, whose verdicts are reached again word by word."""


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    return measurements.integrity or Facts(
        trouble=MeasurementError(ErrorSource.EARLIER, "not measured: there is no usable artifact (see lineage)")
    )


def decide(facts: Facts, settings: Integrity) -> GateVerdict:
    """Fail with all problems; a pass lists what opening the model runs, and what was not checked."""
    if facts.trouble is not None:
        return facts.trouble.verdict(name)
    allowed = (*DEFAULT, *settings.allow)
    problems = [*_digest(facts), *_contents(facts, settings, allowed), *_needs(facts, settings)]
    unchecked = settings.vulnerabilities == "require" and facts.advisories is None
    if problems:
        outcome, reason = Outcome.FAILED, "; ".join(problems)
    elif unchecked:
        outcome = Outcome.INCONCLUSIVE
        reason = (
            "the policy requires a check for known vulnerabilities, and the gatekeeper has no advisories to look in"
        )
    else:
        outcome, reason = Outcome.PASSED, "; ".join(_good(facts, settings, allowed))
    return GateVerdict(gate=name, outcome=outcome, reason=reason, details=_details(facts, allowed))


def _digest(facts: Facts) -> Iterator[str]:
    if None not in (facts.declared, facts.measured) and facts.declared != facts.measured:
        yield f"the artifact has digest {facts.measured}, but {facts.declared} was registered"


def _contents(facts: Facts, settings: Integrity, allowed: tuple[str, ...]) -> Iterator[str]:
    for file in facts.files:
        if flagged := [found for found in outside(file.flagged, allowed) if not found.startswith(CARRIES_CODE)]:
            yield f"opening {file.path} calls {_some(flagged)} (if that is meant, the policy can allow it by name)"
        if settings.serialisation != "any":
            yield from _unsafe(file, settings, allowed, facts.suggests)
    if facts.suggests and settings.serialisation != "any" and (beyond := _to_allow(facts, settings, allowed)):
        yield f"if these are meant, the policy can allow them: gates: {{integrity: {{allow: [{', '.join(beyond)}]}}}}"
    if settings.serialisation != "any" and facts.loader not in RUNS_NOTHING:
        yield f"its loader {facts.loader} runs code of the model; {settings.serialisation} takes {_some(RUNS_NOTHING)}"


def _to_allow(facts: Facts, settings: Integrity, allowed: tuple[str, ...]) -> list[str]:
    """Return the names that `allow` needs; none, where a name is computed, or one is that a scanner warns of."""
    found: dict[str, None] = {}
    for file in facts.files:
        readable = file.problem is None and file.format not in ("code", "other")
        if readable and not (file.format == "pickle" and settings.serialisation == "safe"):
            found |= dict.fromkeys(outside(file.names, allowed))
    computed = any(name.startswith(("(", CARRIES_CODE)) for name in found)
    flagged = any(outside(file.flagged, allowed) for file in facts.files)
    return [] if computed or flagged or len(found) > MOST_SUGGESTED else sorted(found)


def _unsafe(file: File, settings: Integrity, allowed: tuple[str, ...], suggests: bool) -> Iterator[str]:
    if file.format == "code":
        yield f"{file.path} is code that runs when the model is loaded"
    elif file.format == "other" and file.opened:
        yield f"{file.path} has a format that cannot be looked into"
    elif file.format == "pickle" and settings.serialisation == "safe":
        how = ", ONNX or the like" if not suggests else f", ONNX or the like ({AS_SKOPS})"
        yield f"{file.path} is a pickle, which may run code when it is opened; save it as skops{how}"
    elif file.problem is not None:
        yield f"what opening {file.path} runs cannot be known: {file.problem}"
    elif beyond := outside(file.names, allowed):
        yield f"opening {file.path} uses {_some(beyond)}, which the allow-list does not have"


def _needs(facts: Facts, settings: Integrity) -> Iterator[str]:
    if settings.dependencies != "ignore":
        # Code within a pickle is that of one minor version of Python.
        carries_code = any(name.startswith(CARRIES_CODE) for file in facts.files for name in file.names)
        for item in facts.dependencies:
            fits = item.same_major and settings.dependencies == "compatible"
            if not item.satisfied and not (fits and not (item.package == "python" and carries_code)):
                here = f"{item.installed} is installed" if item.installed else "it is not installed"
                yield f"the model needs {item.requirement}, and where it would be served {here}"
    if settings.vulnerabilities != "ignore":
        for found in facts.vulnerabilities:
            if found.advisory not in settings.accepted:
                yield f"{found.package} {found.version} has a known vulnerability, {found.advisory}: {found.summary}"


def _good(facts: Facts, settings: Integrity, allowed: tuple[str, ...]) -> Iterator[str]:
    if facts.declared is None:
        yield "no digest was registered to compare the artifact with"
    else:
        yield "the artifact is the one that was registered"
    runs = _runs_code(facts, allowed)
    if runs:
        yield f"loading it runs code of its own ({_some(runs)}), in the sandbox here and where it is served"
    else:
        yield "loading it runs no code of its own"
    if facts.dependencies and settings.dependencies != "ignore":
        yield _dependencies(facts)
    if settings.vulnerabilities != "ignore" and facts.advisories is None:
        yield "known vulnerabilities were not checked"


def _dependencies(facts: Facts) -> str:
    others = [item for item in facts.dependencies if not item.satisfied]
    if not others:
        return f"its {len(facts.dependencies)} dependencies are satisfied"
    names = _some([f"{item.requirement} (here {item.installed})" for item in others], most=20)
    return (
        f"its {len(facts.dependencies)} dependencies are installed, {len(others)} of them in another minor or patch"
        f" version: {names}"
    )


def _runs_code(facts: Facts, allowed: tuple[str, ...]) -> list[str]:
    found = [] if facts.loader in RUNS_NOTHING else [f"loader {facts.loader}"]
    for file in facts.files:
        if file.format == "code" or (file.format == "other" and file.opened) or file.problem is not None:
            found.append(file.path)
        elif beyond := outside(file.names, allowed):
            found.append(f"{file.path} with {_some(beyond)}")
    return found


def _details(facts: Facts, allowed: tuple[str, ...]) -> dict[str, Any]:
    formats: dict[str, list[str]] = {}
    for file in facts.files:
        if file.format != "data":
            formats.setdefault(file.format, []).append(file.path)
    if facts.advisories is None:
        vulnerabilities: Any = "not checked: no advisories (GATEKEEPER_ADVISORIES_DIR)"
    else:
        vulnerabilities = [f"{found.package} {found.version}: {found.advisory}" for found in facts.vulnerabilities]
    return {
        "digest_registered": facts.declared,
        "digest_measured": facts.measured,
        "loader": facts.loader,
        "formats": {kind: paths[:20] for kind, paths in formats.items()},
        "runs_code": _runs_code(facts, allowed)[:20],
        "outside_allow_list": sorted({item for file in facts.files for item in outside(file.names, allowed)})[:50],
        "scanner_flags": sorted({item for file in facts.files for item in file.flagged})[:50],
        "dependencies": {item.requirement: _installed(item) for item in facts.dependencies},
        "requirements_not_checked": list(facts.unread_requirements)[:20],
        "advisories_looked_through": facts.advisories,
        "vulnerabilities": vulnerabilities,
    }


def _installed(item: Dependency) -> str | None:
    return item.installed if item.provider is None else f"{item.installed} ({item.provider})"


def _some(names: Any, most: int = 5) -> str:
    every = sorted(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
