"""The OpenAPI description of the lean endpoints, which FastAPI cannot inspect: parameters and responses."""

from __future__ import annotations

import re
from typing import Any

MODEL_NAME = {"type": "string", "description": "May be left out when one model is served"}
ERROR_TEXT = {"type": "string"}

PROBLEM: dict[str, Any] = {
    "application/problem+json": {
        "schema": {
            "type": "object",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "request_id": {"type": "string"},
                "errors": {
                    "type": "array",
                    "description": "What is wrong, each with field, value, type and what was expected",
                    "items": {"type": "object", "required": ["field", "value", "expected"]},
                },
            },
        }
    }
}
"""RFC 9457: errors of the native protocol, and of every path outside the other protocols."""

REFUSALS = {
    400: "The request is malformed or incomplete",
    404: "No such model is served",
    408: "The body took longer than SERVING_BODY_SECONDS",
    413: "The body is larger than SERVING_MAX_BODY_BYTES",
    415: "The body is compressed, or of an unsupported type",
    422: "A field has an invalid value",
    503: "No model is loaded yet, the model failed, or the replica is overloaded; with Retry-After",
}

_PATHS = {"model_name": "The model", "version": "Only the version that answers"}
_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    "description": "Default: a new one; answered in the same header",
}


def refusals(content: dict[str, Any], *statuses: int) -> dict[int | str, Any]:
    """Responses, in the form in which a protocol writes its errors; all of them when none is named."""
    return {
        str(status): {"description": REFUSALS[status], "content": content} for status in statuses or tuple(REFUSALS)
    }


def success(schema: dict[str, Any], status: int = 200, description: str = "The response") -> dict[int | str, Any]:
    """Return the response of that status."""
    return {str(status): {"description": description, "content": {"application/json": {"schema": schema}}}}


def parameters(path: str) -> list[dict[str, Any]]:
    """Return a path's parameters, and the header that every lean endpoint takes."""
    names = re.findall(r"{(\w+)}", path)
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": _PATHS[name]}
        for name in names
    ]
    return [*in_path, _REQUEST_ID]
