"""The bodies of the Open Inference Protocol, as JSON Schemas for the OpenAPI document."""

from __future__ import annotations

from serving.http.tensors import DTYPES, MOST_DIMENSIONS

VERSIONS = "model_versions"
"""The parameter of an answer that a rollout has divided between two versions."""

REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_DIMENSIONS,
                        "items": {"type": "integer", "minimum": 0},
                    },
                    "datatype": {"enum": [*DTYPES, "BYTES"]},
                    "data": {"type": "array"},
                    "parameters": {"type": "object"},
                },
            },
        },
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "parameters": {"type": "object"},
    },
}
ANSWER = {
    "type": "object",
    "required": ["model_name", "id", "outputs"],
    "properties": {
        "parameters": {
            "type": "object",
            "properties": {
                VERSIONS: {
                    "type": "string",
                    "description": "While a rollout divides the requests between two versions: those of the rows, in"
                    " their order, such as `3, 4*2, 3`",
                }
            },
        }
    },
}
