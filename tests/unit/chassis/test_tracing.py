"""Traces are off and cost nothing unless the environment names a collector; one that is away stops no work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chassis import tracing
from contracts import TrainingFailed, new_envelope

EVENT = new_envelope(TrainingFailed(model_name="m", job_id="j", reason="because"), source="test")
ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (ON, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({**ON, "OTEL_SDK_DISABLED": "True"}, False),
        ({**ON, "OTEL_SDK_DISABLED": "false"}, True),
        ({**ON, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ON, "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_SERVICE_NAME": "gatekeeper"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], wanted: bool) -> None:
    assert tracing.is_wanted(environment) is wanted


def run(code: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


SPANS = """
from chassis import tracing
from contracts import TrainingFailed, new_envelope
print(tracing.start("test"))
event = new_envelope(TrainingFailed(model_name="m", job_id="j", reason="because"), source="test")
for number in range(5000):
    handled = tracing.processing(event, "training", group="g", partition=0, offset=number)
    with handled, tracing.job("k", "j", "m", 1, event):
        made = tracing.created(event)
        tracing.sent(tracing.sending("training", {"traceparent": made.traceparent or ""}), ValueError("refused"))
        tracing.job_ended("failed")
        ids = tracing.ids()
with tracing.loaded(made, 1.5, {"model_version": 1, "epoch": None}):
    pass
print(made is event, sorted(ids), made.traceparent)
tracing.stop()
import sys
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""


def test_off_nothing_of_the_sdk_is_imported_and_an_event_is_as_it_was() -> None:
    assert run(SPANS) == ["None", "True [] None", "[]"]
    assert tracing.created(EVENT) is EVENT and tracing.ids() == {}


def test_a_collector_that_is_away_stops_neither_work_nor_the_end() -> None:
    said, made, modules = run(SPANS, **ON)
    assert said == "None" and made.startswith("False ['span_id', 'trace_id'] 00-") and "opentelemetry.sdk" in modules


def test_what_is_not_supported_is_said() -> None:
    said = run(SPANS, **ON, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in said[0] and said[-1] == "[]"
