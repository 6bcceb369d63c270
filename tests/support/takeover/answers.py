"""What a running stack answers, by HTTP: asked of the earlier version when it is recorded, of this one in the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

ROWS: Mapping[str, list[dict[str, Any]]] = {
    "shop": [
        {"amount": 41.5, "visits": 3.0, "plan": "basic"},
        {"amount": 66.0, "visits": 11.0, "plan": "pro"},
        {"amount": 12.0, "visits": 0.0, "plan": "plus"},
    ],
    "loans": [{"income": 0.4, "debt": -1.2}, {"income": -2.0, "debt": 0.3}],
    "prices": [{"area": 33.0, "floor": 2.0}, {"area": 110.0, "floor": 8.0}],
    "segments": [{"age": -1.0, "spend": -0.4}, {"age": 1.5, "spend": 0.9}, {"age": 0.1, "spend": 0.0}],
}
"""For each model, some that its predictions are recorded for."""


class Asked:
    """A stack's services; `urls` by the name of the part."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._client = httpx.Client(timeout=120, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def get(self, part: str, path: str) -> Any:
        found = self._client.get(self._urls[part] + path)
        found.raise_for_status()
        return found.json() if "json" in found.headers["content-type"] else found.text

    def post(self, part: str, path: str, body: Any) -> Any:
        found = self._client.post(self._urls[part] + path, json=body)
        assert found.status_code < 300, f"{path}: {found.status_code} {found.text}"
        return found.json()

    def predictions(self) -> dict[str, Any]:
        """Version, epoch and predictions of each model, for `ROWS`."""
        found = {name: self.post("serving", f"/models/{name}/predict", {"rows": rows}) for name, rows in ROWS.items()}
        return {name: {**each, "request_id": None} for name, each in found.items()}

    def loaded(self, part: str) -> dict[str, Any]:
        """What a replica says of each model that it answers with."""
        return {each["model_name"]: each for each in self.get(part, "/models")["models"]}

    def judged(self, name: str, version: int) -> dict[str, Any]:
        """A verdict: whole, on its page, and reached again from evidence."""
        path = f"/models/{name}/candidates/{version}"
        return {
            "shown": self.get("gatekeeper", path),
            "page": self.get("gatekeeper", f"{path}/report"),
            "replayed": self.post("gatekeeper", f"{path}/replay", {}),
        }

    def verdicts(self, name: str) -> dict[str, Any]:
        listed = self.get("gatekeeper", f"/models/{name}/candidates")
        versions = sorted(each["model_version"] for each in listed if each["judged_at"])
        return {str(version): self.judged(name, version) for version in versions}

    def golden(self, name: str) -> list[dict[str, Any]]:
        """The golden datasets, each with the tournament that a drift gave rise to on it."""
        found = self.get("gatekeeper", f"/models/{name}/golden")
        for each in found:
            path = f"/models/{name}/golden/{each['number']}/tournament"
            if each["tournament"]:
                each["shown"] = self.get("gatekeeper", path)
                each["replayed"] = self.post("gatekeeper", f"{path}/replay", {})
        return list(found)

    def past(self) -> dict[str, Any]:
        """All that was decided, and what came of the predictions."""
        names = sorted(ROWS)
        return {
            "models": {name: self.get("gatekeeper", f"/models/{name}") for name in names},
            "promotions": {name: self.get("gatekeeper", f"/models/{name}/promotions") for name in names},
            "verdicts": {name: self.verdicts(name) for name in names},
            "golden": {name: self.golden(name) for name in names},
            "audit": self.get("gatekeeper", "/audit?limit=1000"),
            "audit_proof": self.get("gatekeeper", "/audit/verify"),
            "trainings": self.get("trainer", "/jobs"),
            "drift": {name: self.get("drift", f"/models/{name}") for name in names},
            "windows": {name: self.get("drift", f"/models/{name}/windows") for name in names},
        }
