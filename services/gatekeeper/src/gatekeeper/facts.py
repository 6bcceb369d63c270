"""From what was measured to the facts that each gate decides on, and the evidence that is kept."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from contracts.policy import ModelPolicy
from gatekeeper.answers import as_answers
from gatekeeper.measuring import Champion, Measured
from gatekeeper.policy import functional, latency, lineage, performance
from gatekeeper.policy.trouble import Blame, Trouble
from gatekeeper.provenance import Provenance
from gatekeeper.sandbox.probe import Probe
from gatekeeper.sandbox.protocol import Stage

LIBRARIES = ("mlflow", "numpy", "pandas", "scikit-learn", "pyarrow")


def lineage_facts(found: Provenance, measured: Measured) -> lineage.Facts:
    event = found.event
    return lineage.Facts(
        version_found=found.version is not None,
        run_id=event.run_id,
        run_found=found.run_found,
        training_digest=found.training_digest,
        code_version=event.code_version,
        has_signature=measured.description.has_signature,
        artifact_declared=event.artifact_digest,
        artifact_measured=measured.artifact_digest,
        artifact_problem=measured.artifact_problem,
        evaluation_declared=event.evaluation.digest if event.evaluation else None,
        evaluation_measured=measured.evaluation_digest,
        evaluation_problem=measured.evaluation_problem,
    )


def functional_facts(measured: Measured, policy: ModelPolicy) -> functional.Facts:
    trouble, probe = _trouble(measured, Stage.LOADING, Stage.EXAMPLE), measured.probe
    if trouble is not None or probe is None:
        return functional.Facts(policy.problem, trouble or _not_asked(measured))
    classes = _classes(measured, probe)
    return functional.Facts(
        problem=policy.problem,
        rows=probe.example_rows,
        asked=probe.asked,
        first=None if probe.first is None else as_answers(probe.first, policy.problem, classes),
        second=None if probe.second is None else as_answers(probe.second, policy.problem, classes),
    )


def performance_facts(measured: Measured, policy: ModelPolicy, champion: Champion | None) -> performance.Facts:
    trouble = _trouble(measured, Stage.GOLDEN)
    if trouble is None and measured.golden_problem is not None:
        trouble = Trouble(Blame.DATA, measured.golden_problem)
    if trouble is None and measured.champion_problem is not None:
        trouble = Trouble(Blame.CHAMPION, measured.champion_problem)
    rows = measured.golden
    return performance.Facts(
        problem=policy.problem,
        metric=policy.metric,
        trouble=trouble,
        truth=rows.truth if rows else None,
        challenger=measured.challenger_answers,
        champion=measured.champion_answers,
        champion_version=champion.model_version if champion else None,
        unlabelled=rows.unlabelled if rows else 0,
    )


def latency_facts(measured: Measured) -> latency.Facts:
    trouble, probe = _trouble(measured, Stage.TIMING, Stage.DONE), measured.probe
    if trouble is not None or probe is None:
        return latency.Facts(trouble or _not_asked(measured))
    return latency.Facts(seconds=probe.seconds, load_seconds=probe.load_seconds)


def evidence_of(measured: Measured, policy: ModelPolicy, champion: Champion | None) -> dict[str, Any]:
    """What is needed to look at the verdict again."""
    rows, probe = measured.golden, measured.probe
    return {
        "policy": policy.model_dump(mode="json"),
        "artifact": {"uri": measured.event.artifact_uri, "digest": measured.artifact_digest},
        "champion": None
        if champion is None
        else {"model_version": champion.model_version, "epoch": champion.epoch, "digest": champion.artifact_digest},
        "golden": None
        if rows is None
        else {
            **(measured.event.evaluation.model_dump(mode="json") if measured.event.evaluation else {}),
            "label": rows.label,
            "found": rows.found,
            "unlabelled": rows.unlabelled,
            "used": len(rows.truth),
        },
        "output": probe.output[-2000:] if probe is not None and probe.fault is not None else "",
        "seconds": dict(measured.seconds),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }


def _trouble(measured: Measured, *stages: Stage) -> Trouble | None:
    """What kept these stages of the probe from ending well, and whose fault that is."""
    if measured.probe is None:
        return _not_asked(measured)
    fault = measured.probe.fault
    if fault is None or fault.stage.order > max(stage.order for stage in stages):
        return None
    if fault.stage is Stage.STARTING:
        return Trouble(Blame.GATEKEEPER, f"the sandbox itself failed: it {fault.what}")
    if fault.stage not in stages:
        return Trouble(Blame.EARLIER, f"not measured: the model {fault.what} while {fault.stage.value}")
    return Trouble(Blame.CANDIDATE, f"the model {fault.what} while {fault.stage.value}")


def _not_asked(measured: Measured) -> Trouble:
    return Trouble(Blame.EARLIER, "not measured: there is no usable artifact (see lineage)")


def _classes(measured: Measured, probe: Probe) -> tuple[Any, ...]:
    known = measured.description.classes or (measured.golden.classes if measured.golden else None)
    if known is not None:
        return known
    if probe.first is not None and probe.first.dtype.kind == "U":
        return tuple(sorted({*probe.first.tolist(), *(probe.second.tolist() if probe.second is not None else ())}))
    return (0, 1)
