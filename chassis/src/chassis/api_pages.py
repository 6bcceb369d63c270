"""/docs of a service, without internet: FastAPI's own page has a browser fetch its script from a content network.

The files are those of the package fastapi-offline. Nothing is imported or read before somebody opens the page.
"""

from __future__ import annotations

from html import escape
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from chassis.http import Problem, problem_response

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
BEGIN = "begin.js"
SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, layout: "BaseLayout", validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
"""`validatorUrl`: else the page sends the address of the document to a service of others."""
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The page of the API needs scripts; <a href="openapi.json">openapi.json</a> is what it shows.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/begin.js"></script>
</body>
</html>
"""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
"""Swagger UI writes style attributes; scripts are ours only, and it reaches this service only."""


def add_api_page(app: FastAPI) -> None:
    """Serve /docs and its files. They are no operations of the API, and show what /openapi.json shows."""

    async def docs(_request: Request) -> Response:
        return HTMLResponse(PAGE.format(title=escape(app.title)), headers=HEADERS)

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name == BEGIN:
            return Response(SCRIPT, media_type="text/javascript", headers=HEADERS)
        if name not in ASSETS:
            return problem_response(Problem(404, "no such file", f"/docs has no file {name!r}"))
        return FileResponse(
            _folder() / name, media_type=ASSETS[name], headers=HEADERS | {"Cache-Control": "max-age=86400"}
        )

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/{name}", asset, include_in_schema=False)


def _folder() -> Path:
    spec = find_spec("fastapi_offline")
    assert spec is not None and spec.origin is not None, "a dependency of the chassis"
    return Path(spec.origin).parent / "static"
