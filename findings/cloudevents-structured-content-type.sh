#!/usr/bin/env bash
# cloudevents 2.2.0 (the SDK for Python), its Kafka binding of version 1.
#
# One would expect: a structured message has the content type application/cloudevents+json, by which the specification
# has receivers recognise it.
# Seen: `to_structured` writes the event as JSON, but gives the message the content type of the event's data, or none.
# A receiver that follows the specification takes it for a binary message without attributes.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import json

from cloudevents.v1.http import CloudEvent
from cloudevents.v1.kafka import to_structured

given = {"type": "model.registered", "source": "/trainer"}
for attributes in ({**given, "datacontenttype": "application/json"}, given):
    message = to_structured(CloudEvent(attributes, {"model": "shop"}))
    headers = {name.lower(): value for name, value in message.headers.items()}
    print("data's type", attributes.get("datacontenttype"), "-> headers", headers, "keys", sorted(json.loads(message.value)))
    assert {"specversion", "id", "type"} <= json.loads(message.value).keys()
    assert b"cloudevents" not in headers.get("content-type", b"")
PYTHON
