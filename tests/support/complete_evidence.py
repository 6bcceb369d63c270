"""Evidence in which every field is set, as today's dataclasses are written down.

A change of them is a new format of evidence: raise `FORMAT`, add the step to `gatekeeper/database/evidence_formats.py`,
and then `PYTHONPATH=tests .venv/bin/python -m support.complete_evidence`, which writes the golden document of that
format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chassis.mlmodel import MLmodel
from contracts import Dataset, GateVerdict, ModelRegistered, Outcome, Trigger
from contracts.policy import ModelPolicy
from gatekeeper.database.evidence_formats import FORMAT
from gatekeeper.evaluation.golden_rows import GoldenRows, GoldenSource
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.policy.gates import integrity, lineage
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.importance import Importance
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.noise import Noise
from gatekeeper.policy.stage import Stage
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.policy.tournament import Ending, Result
from gatekeeper.policy.unseen_categories import CategoryTrial
from gatekeeper.sandbox.compiled_form import CompilationReport, Parity, RefusedForm
from gatekeeper.sandbox.probe import Fault, Probe
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import (
    EntrantPredictions,
    Ranking,
    TournamentDecision,
    TournamentInput,
    TournamentResult,
)

FOLDER = Path(__file__).resolve().parents[1] / "unit/gatekeeper/evidence_documents"
POLICY = ModelPolicy.model_validate({"model": "m"})
DIGEST = "sha256:" + "a" * 64
DATASET = Dataset(uri="runs:/r/golden.parquet", digest=DIGEST, rows=3, window="2013-03")
SCORES = np.array([0.125, 0.5, 0.875])
ANSWERS = Predictions(np.array([0, 1, 1]), SCORES)
OVERLAP = Overlap("no keys", 10, {"exact": np.array([True, False, False])}, {"exact": 0.25}, True)
DESCRIPTION = MLmodel(True, ("a",), (0, 1), {"label": "late"}, '["double"]', ("double",), ("a",))
TROUBLE = MeasurementError(ErrorSource.CANDIDATE, "its folder is empty")
PROBE = Probe(
    fault=Fault(Stage.DIRTY, "raised KeyError: 'a'"),
    load_seconds=0.5,
    asked="golden rows",
    example_rows=3,
    first=SCORES,
    second=SCORES,
    golden=SCORES,
    alone=SCORES[:2],
    alone_rows=(0, 1),
    dirty={"noise": SCORES},
    dirty_faults={"missing": "ValueError: NaN"},
    seconds=(0.001, 0.002),
    batch_seconds=(0.01, 0.02),
    batch_rows=100,
    output="said something",
    peak_memory_mb=64.5,
    load_memory_mb=32.25,
    isolation={"network": "a namespace of its own"},
    load_cpu_seconds=0.25,
    noise=Noise((0.001, 0.001), (0.003, 0.004), (0.003, 0.003)),
    batch_noise=Noise((0.01, 0.01), (0.005, 0.006), (0.005, 0.005)),
)
EVENT = ModelRegistered(
    model_name="m",
    model_version=2,
    run_id="r",
    artifact_uri="runs:/r/model",
    artifact_digest=DIGEST,
    training=DATASET,
    evaluation=DATASET,
    reference=DATASET,
    training_keys=DATASET,
    code_version="c",
    metrics={"roc_auc": 0.75},
    trigger=Trigger(kind="manual"),
)
FORM = CompilationReport(
    "onnxruntime", Parity(3, 0, 1e-9, 1e-6), (RefusedForm("treelite", "no trees"),), 1.5, "not proven"
)
VERDICT = GateVerdict(gate="performance", outcome=Outcome.PASSED, reason="better", metric="roc_auc", observed=0.75)


def measured() -> Measurements:
    return Measurements(
        event=EVENT,
        problem="binary",
        problem_because="the model has 2 classes",
        version_found=True,
        run_found=True,
        training_digest=DIGEST,
        origin=lineage.Origin(True, True, "train.py"),
        champion=Champion(1, 1, "runs:/r/old", DIGEST),
        k=3,
        artifact_digest=DIGEST,
        artifact_problem="no MLmodel file",
        integrity=integrity.Facts(
            trouble=TROUBLE,
            declared=DIGEST,
            measured=DIGEST,
            loader="mlflow.sklearn",
            files=(integrity.File("model.pkl", "pickle", True, ("a.b",), ("c.d",), "ends early"),),
            dependencies=(integrity.Dependency("xgboost", "xgboost>=3", "3.0", True, True, "xgboost-cpu"),),
            unread_requirements=("-r other.txt",),
            advisories=7,
            vulnerabilities=(integrity.Vulnerability("p", "1.0", "CVE-1", "reads files"),),
            suggests=True,
        ),
        description=DESCRIPTION,
        champion_description=DESCRIPTION,
        evaluation_digest=DIGEST,
        evaluation_problem="gone",
        golden_digest=DIGEST,
        golden_uri=DATASET.uri,
        golden_until="2013-03-31T00:00:00+00:00",
        golden=GoldenRows(
            pd.DataFrame({"a": SCORES}), np.array([0, 1, 1]), (0, 1), "late", 5, 2, frozenset(), "who", "at"
        ),
        golden_problem="no label",
        golden_source=GoldenSource("golden dataset 1", {"label": "late"}),
        overlap=OVERLAP,
        champion_overlap=OVERLAP,
        probe=PROBE,
        dirty_rows=np.array([0, 2]),
        category_trials=(CategoryTrial("carrier", ("AA",), 1),),
        champion_probe=PROBE,
        champion_answers=ANSWERS,
        champion_problem="changed since",
        stopped="not measured",
        serving_form=CompilationReport(
            "onnxruntime", Parity(3, 0, 1e-9, 1e-6), (RefusedForm("treelite", "no trees"),), 1.5, "?"
        ),
        form=b"never written down",
        importance=Importance("roc_auc", 0.75, 3, {"a": 0.125}, ("b",), "the time was over", 0.5),
        seconds={"candidate": 1.25},
    )


def played() -> TournamentResult:
    asked = EntrantPredictions(4, "2026-01-01T00:00:00+00:00", ANSWERS, OVERLAP, "raised")
    standing = Ranking(Result(4, "the best", {4: VERDICT}), {5: "it gave no answers"})
    decided = TournamentDecision(1, DIGEST, 4, standing, Ending(4, "better than all"), (VERDICT,))
    return TournamentResult(TournamentInput(4, "2026-03-01T00:00:00+00:00", (asked,)), decided, measured())


def document() -> dict[str, Any]:
    """JSON, without long arrays."""

    def keep(content: bytes) -> str:
        raise AssertionError("no array here is long")

    found = evidence.write(measured(), POLICY, keep)
    found |= {"tournament": comparison.write(played(), POLICY, keep), "output": PROBE.output}
    return dict(json.loads(json.dumps(found, allow_nan=False)))


def golden_document(written_in: int | str) -> Path:
    return FOLDER / f"format-{written_in}.json"


if __name__ == "__main__":
    with golden_document(FORMAT).open("x") as file:  # one that is there stays: it is what was stored
        json.dump(document(), file, indent=1)
        file.write("\n")
