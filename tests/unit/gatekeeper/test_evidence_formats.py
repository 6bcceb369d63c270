"""Evidence of every format is read; what is kept does not change without a format; an unknown key is an error."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.gate_settings import Integrity, Lineage
from gatekeeper.database import golden_datasets
from gatekeeper.database.evidence_formats import FORMAT, STEPS, Unreadable, serving_form_of, upgraded
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.policy.gates import lineage
from gatekeeper.tournaments import comparison
from support import complete_evidence
from support.complete_evidence import FOLDER, golden_document

Document = dict[str, Any]

ELSEWHERE = {"policy", "policy_digest", "event", "entrants", "gates", "versions"}
"""Held by the schemas of policies and events; and the versions of libraries."""


def load(digest: str) -> bytes:
    raise AssertionError(f"the golden documents hold their arrays, but {digest} is asked for")


def stored(name: str) -> Document:
    return dict(json.loads(golden_document(name).read_text()))


def read(document: Document) -> tuple[Measurements, Any, Measurements | None]:
    """What a document says, and its tournament, in any format."""
    found = upgraded(document)
    field, gated = comparison.read(found["tournament"], load) if found.get("tournament") else (None, None)
    return evidence.read(found, load)[0], field, gated


def shape(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: None if key in ELSEWHERE else shape(value) for key, value in document.items()}
    return [shape(each) for each in document] if isinstance(document, list) else document


def empty(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in ELSEWHERE:
                yield from empty(each, f"{path}.{key}")
    if value is None or value is False or value in ({}, [], ""):
        yield path


def test_what_is_kept_is_what_the_format_says() -> None:
    """A field that comes, goes or is renamed is a new format: see support/complete_evidence.py."""
    assert shape(complete_evidence.document()) == shape(stored(str(FORMAT)))


def test_the_golden_document_sets_every_field() -> None:
    assert list(empty(complete_evidence.document())) == []


def test_what_was_written_is_read_and_written_again_alike() -> None:
    measurements, field, gated = read(stored(str(FORMAT)))
    assert gated is not None
    for now, then in ((measurements, complete_evidence.measured()), (gated, complete_evidence.measured())):
        now.golden, now.form = then.golden, then.form
    written = evidence.write(measurements, complete_evidence.POLICY, load)
    assert shape(written["measured"]) == shape(stored(str(FORMAT))["measured"])
    assert evidence.encode(field, load) == stored(str(FORMAT))["tournament"]["contest"]


def test_there_is_a_step_from_every_format_and_a_document_of_each() -> None:
    assert set(STEPS) == set(range(1, FORMAT))
    assert {int(re.findall(r"\d+", path.name)[0]) for path in FOLDER.iterdir()} == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("name", [path.stem.removeprefix("format-") for path in sorted(FOLDER.iterdir())])
def test_every_document_that_was_ever_written_is_read(name: str) -> None:
    before = stored(name)
    kept = copy.deepcopy(before)
    if name == "1-entrants-not-kept":
        with pytest.raises(Unreadable, match="the answers of its entrants were not kept"):
            read(before)
        measurements, _ = evidence.read(upgraded(before), load)
    else:
        measurements, field, _ = read(before)
        assert field is None or len(field.asked) >= 1
    assert measurements.event.model_name == "m" and measurements.k == 3 and measurements.probe is not None
    assert before == kept, "what is stored stays as it is"
    assert golden_datasets._entered(before) is (name != "1-oldest")


def test_what_came_later_is_said_to_be_unknown_in_older_documents() -> None:
    """And a gate that did not exist is not asked for; whoever said nothing of candidates had the newest alone."""
    document = upgraded(stored("1-oldest"))
    measurements, policy = evidence.read(document, load)
    assert (measurements.golden_until, measurements.integrity, measurements.stopped, measurements.serving_form) == (
        None,
    ) * 4
    assert measurements.probe is not None
    assert (measurements.probe.batch_seconds, measurements.probe.peak_memory_mb, measurements.description.kinds) == (
        None,
    ) * 3
    assert measurements.probe.isolation == {}
    assert policy.gates.integrity is False and policy.candidates == "newest"
    assert serving_form_of(stored("1-oldest")) is None and serving_form_of(stored("2")) == "onnxruntime"


def test_the_gates_of_format_2_decide_as_they_did() -> None:
    """Every part of the lineage was required, packages in the declared versions, and the texts were these."""
    document = upgraded(stored("2"))
    measurements, policy = evidence.read(document, load)
    assert isinstance(policy.gates.lineage, Lineage) and len(policy.gates.lineage.require) == 4
    assert isinstance(policy.gates.integrity, Integrity) and policy.gates.integrity.dependencies == "exact"
    measurements.training_digest = measurements.artifact_problem = None
    measurements.event = measurements.event.model_copy(update={"code_version": None})
    verdict = lineage.decide(lineage.facts(measurements, policy), policy.gates.lineage)
    assert verdict.reason == "the digest of the training data is unknown; the code version is unknown; gone"
    kept = {"run_id", "training_digest", "code_version", "artifact_digest", "evaluation_digest"}
    assert verdict.details.keys() == kept


OBJECTS = [
    "measured",
    "measured.champion",
    "measured.integrity",
    "measured.integrity.trouble",
    "measured.integrity.files.0",
    "measured.integrity.dependencies.0",
    "measured.integrity.vulnerabilities.0",
    "measured.description",
    "measured.champion_description",
    "measured.overlap",
    "measured.probe",
    "measured.probe.fault",
    "measured.champion_probe",
    "measured.champion_answers",
    "measured.serving_form",
    "measured.serving_form.parity",
    "measured.serving_form.refused.0",
    "tournament",
    "tournament.contest",
    "tournament.contest.asked.0",
    "tournament.contest.asked.0.answers",
    "tournament.contest.asked.0.overlap",
    "tournament.gated.measured.probe",
]


def place(document: Document, path: str) -> Document:
    found: Any = document
    for key in path.split("."):
        found = found[int(key)] if key.isdigit() else found[key]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", OBJECTS)
def test_a_renamed_key_is_an_error_that_says_where(path: str) -> None:
    for key in place(stored(str(FORMAT)), path):
        document = stored(str(FORMAT))
        here = place(document, path)
        here[f"{key}_as_it_is_called_now"] = here.pop(key)
        with pytest.raises(Unreadable) as caught:
            read(document)
        where = re.sub(r"\.(\d+)", r"[\1]", path).replace("tournament.gated.measured", "measured")
        assert f"{where} holds '{key}_as_it_is_called_now'" in str(caught.value)
        assert "database/evidence_formats.py" in str(caught.value)


@pytest.mark.parametrize("path", OBJECTS)
def test_a_key_that_is_missing_is_one_too(path: str) -> None:
    for key in place(stored(str(FORMAT)), path):
        document = stored(str(FORMAT))
        del place(document, path)[key]
        with pytest.raises(Unreadable, match=f"lacks '{key}'"):
            read(document)


def test_so_are_those_of_the_document_itself() -> None:
    with pytest.raises(Unreadable, match=r"document holds 'measurd'"):
        upgraded({**stored(str(FORMAT)), "measurd": {}})
    with pytest.raises(Unreadable, match="document lacks 'policy'"):
        upgraded({key: value for key, value in stored(str(FORMAT)).items() if key != "policy"})


@pytest.mark.parametrize("said", [99, 0, None, "2", [2]])
def test_another_format_is_not_guessed_at(said: Any) -> None:
    with pytest.raises(Unreadable, match=r"its format is|no evidence of any format"):
        upgraded({**stored("2"), "format": said})
    assert "not known" in str(serving_form_of({**stored("2"), "format": said}))


@pytest.mark.parametrize("key", ["measured", "policy", "tournament"])
@pytest.mark.parametrize("value", [7, [], "x", {}])
def test_what_is_no_evidence_says_so(key: str, value: Any) -> None:
    if (key, value) in (("tournament", []), ("tournament", {})):
        return  # none was played
    with pytest.raises(Unreadable):
        read({**stored("1"), key: value})


def test_an_event_may_say_more_than_is_known_of_it() -> None:
    document = stored("2")
    document["measured"]["event"]["said_by_a_newer_writer"] = 1
    assert read(document)[0].event.model_name == "m"
