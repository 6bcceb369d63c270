"""Every operation of the OpenAPI document, asked with what it allows and what it forbids: it answers as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from support.bus_client import BusClient
from support.replica import Replica
from support.versions import ROW, Uploads, pipeline
from support.waiting import eventually

NAME = "openapi"
EXAMPLES = 12
AS_DECLARED = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def served(production: Replica, bus: BusClient, uploads: Uploads) -> Replica:
    bus.publish(uploads.version(NAME, 1, pipeline()).promoted(1))
    eventually(lambda: production.answers_with(NAME, 1, 1))
    return production


@pytest.fixture(scope="module")
def document(served: Replica) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")


AS_MLFLOW = {"/ping", "/version"}
"""It calls an empty line and a bare version application/json, and so do we."""
EXPECTED = {
    "/health", "/ready", "/metrics", "/models", "/ping", "/version", "/predict", "/feedback", "/invocations", "/v2",
    "/models/{model_name}/predict", "/v2/models/{model_name}/infer",
}  # fmt: skip


def test_every_operation_answers_as_declared(document: Any, served: Replica) -> None:
    asked = set()
    for found in document.get_all_operations():
        operation = found.ok()
        asked.add(operation.path)
        for mode in GenerationMode:
            hold(operation.as_strategy(generation_mode=mode), served)
    assert asked >= EXPECTED


def hold(cases: Any, served: Replica) -> None:
    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: schemathesis.Case) -> None:
        if "model_name" in case.path_parameters and len(str(case.path_parameters["model_name"])) % 2:
            case.path_parameters["model_name"] = NAME
        response = case.call(timeout=30)
        assert response.status_code < 500 or response.status_code == 503, response.content
        declared = AS_DECLARED[:1] if case.operation.path in AS_MLFLOW else AS_DECLARED
        case.validate_response(response, checks=declared)

    try:
        one()
    except Unsatisfiable:
        return  # nothing that could be wrong with this operation
    assert served.predict(ROW, model=NAME).status_code == 200


def test_the_document_names_what_is_refused(document: Any) -> None:
    for path, operations in document.raw_schema["paths"].items():
        if "post" in operations:
            assert {"404", "408", "413", "415", "503"} <= operations["post"]["responses"].keys(), path
