"""Every HTTP path of every service, from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from docs.generate.markdown import code, page, sentence, table
from fastapi import FastAPI

INTRODUCTION = """
Each service serves the complete OpenAPI document, with parameters and schemas, at `/openapi.json`, and a page to read
and try it at `/docs`. Errors are RFC 9457 problem details (`application/problem+json`), except on the paths of other
protocols, which have their own form: see [protocols](protocols.md).
"""
WORDS = {"Successful Response": "The response", "Validation Error": "A parameter or field is invalid"}


def http_apis_page(services: dict[str, FastAPI]) -> str:
    parts = [_part(name, app.openapi()) for name, app in services.items()]
    return page("HTTP APIs", "the services' OpenAPI documents", INTRODUCTION, parts)


def _part(name: str, document: dict[str, Any]) -> str:
    operations = list(_operations(document))
    rows = [
        (method, code(path), _summary(operation), ", ".join(sorted(operation["responses"])))
        for method, path, operation in operations
    ]
    meanings = table(("Status", "Meaning"), _meanings([operation for _, _, operation in operations]))
    return f"## {name}\n\n{table(('Method', 'Path', 'Summary', 'Status'), rows)}\n\n{meanings}"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _summary(operation: dict[str, Any]) -> str:
    """The first paragraph of the description; raises ValueError where an endpoint has none."""
    if text := sentence(operation.get("description")):
        return text
    raise ValueError(f"{operation['operationId']} has no docstring")


def _meanings(operations: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    found: dict[str, dict[str, None]] = {}
    for operation in operations:
        for status, response in operation["responses"].items():
            text = response["description"]
            found.setdefault(str(status), {})[WORDS.get(text, text)] = None
    for status, texts in sorted(found.items()):
        yield status, " · ".join(texts)
