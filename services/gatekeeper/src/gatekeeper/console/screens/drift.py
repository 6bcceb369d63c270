"""Drift of a model: its windows against their limits, the last alarm, and estimated against true performance.

All of it is the drift service's, read with the caller's token. While it is away, what the gatekeeper was told is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, allowed
from gatekeeper.charts.chart import Chart
from gatekeeper.charts.drift import heat_map, moment, performance_chart, row_name
from gatekeeper.console.pages import page
from gatekeeper.console.routes import authorization_of, page_router
from gatekeeper.console.services import Away
from gatekeeper.console.site import Site
from gatekeeper.database import event_log

WINDOWS = 50
ALARMS = 5
NOT_KNOWN = 404
"""Of a model that was neither promoted nor has predicted: drift is there, and has nothing."""
VANISHED, NEW = "vanished", "not in the reference"


@dataclass(frozen=True)
class Alarm:
    """A drift that was announced: in which window, why, and what it is estimated to cost."""

    kind: str
    at: datetime | None
    model_version: int | None
    reason: str
    harm: str | None
    harm_reason: str | None
    report: str | None


@dataclass(frozen=True)
class WindowLine:
    """A window in a line; outcomes are Passed, Failed, Inconclusive, or None for what was not judged."""

    number: int
    model_version: int
    start: datetime | None
    end: datetime | None
    state: str
    rows: int
    size: int
    labelled: int
    data: str | None
    prediction: str | None
    proxy: str | None
    performance: str | None
    drifted: tuple[str, ...]
    vanished: tuple[str, ...]
    new: tuple[str, ...]
    report: str | None


@dataclass(frozen=True)
class Screen:
    model: Mapping[str, Any]
    windows: tuple[WindowLine, ...]
    """Newest first."""
    heat: Chart | None
    performance: Chart | None
    alarm: Alarm | None
    signals: Mapping[str, str] = field(default_factory=dict)


def drift_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/models/{model_name}/drift", openapi_extra=allowed(Action.READ), response_class=HTMLResponse)
    async def drift_of_model(request: Request, model_name: str, caller: CallerOf) -> HTMLResponse:
        """The windows of a model against their limits, and what came of them."""
        await run_in_threadpool(site.decisions.known, model_name)
        token = authorization_of(request)
        model, windows = await asyncio.gather(
            site.services.get("drift", f"/models/{model_name}", token),
            site.services.get("drift", f"/models/{model_name}/windows", token, limit=WINDOWS),
        )
        shown = away = None
        alarms: list[Alarm] = []
        if isinstance(model, Away) or isinstance(windows, Away):
            away = model if isinstance(model, Away) else windows
            away = None if away.status == NOT_KNOWN else away
            alarms = await run_in_threadpool(_told, site, model_name)
        else:
            shown = screen(model, windows)
        return await run_in_threadpool(
            lambda: page(request, caller, "drift.html", model_name=model_name, screen=shown, away=away, alarms=alarms)
        )

    return router


def _told(site: Site, model_name: str) -> list[Alarm]:
    """Return the newest alarms that the gatekeeper was told of."""
    with site.database.reading() as session:
        found = event_log.newest_of(session, model_name, "DriftDetected", ALARMS)
        return [_alarm_of_event(each.data, each.at) for each in found]


def _alarm_of_event(data: Mapping[str, Any], at: datetime) -> Alarm:
    harm = data.get("harm") or {}
    return Alarm(
        kind=data["kind"],
        at=at,
        model_version=data["model_version"],
        reason=data["reason"],
        harm=harm.get("harm"),
        harm_reason=harm.get("reason"),
        report=_link(data.get("report_uri")),
    )


def screen(model: Mapping[str, Any], windows: Sequence[Mapping[str, Any]]) -> Screen:
    """Return what is shown, from the drift service's model and its newest windows, newest first."""
    return Screen(
        model=model,
        windows=tuple(_line(each) for each in windows),
        heat=heat_map(windows),
        performance=performance_chart(windows, (model.get("champion") or {}).get("baseline") or {}),
        alarm=next(filter(None, map(_alarm, windows)), None),
        signals=_signals(windows),
    )


def _line(window: Mapping[str, Any]) -> WindowLine:
    data, scores = window["data"], window["data"]["scores"]
    return WindowLine(
        number=window["number"],
        model_version=window["model_version"],
        start=moment(window["start"]),
        end=moment(window["end"]),
        state=window["state"],
        rows=window["rows"],
        size=window["size"],
        labelled=window["labelled"],
        data=data["outcome"],
        prediction=(window["prediction"] or {}).get("outcome"),
        proxy=(window["proxy"] or {}).get("outcome"),
        performance=window["performance"]["outcome"],
        drifted=tuple(row_name(each) for each in scores if each["drifted"]),
        vanished=tuple(name for name, why in data["not_compared"].items() if why.startswith(VANISHED)),
        new=tuple(name for name, why in data["not_compared"].items() if why == NEW),
        report=_link(window["report_url"]),
    )


def _alarm(window: Mapping[str, Any]) -> Alarm | None:
    """Return what was announced of a window: of its data first, then of the metric, the predictions, the estimate."""
    data = window["data"]
    signals = {
        "data": data,
        "performance": window["performance"],
        "prediction": window["prediction"] or {},
        "proxy": window["proxy"] or {},
    }
    for kind, found in signals.items():
        if found.get("event_id"):
            harm = (data["harm"] or {}) if kind == "data" else {}
            at = moment(found.get("judged_at") or window["end"])
            link = _link(window["report_url"])
            why = found["reason"] or ""
            return Alarm(kind, at, window["model_version"], why, harm.get("harm"), harm.get("reason"), link)
    return None


def _signals(windows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the sentence of each signal in the newest window that has one."""
    found: dict[str, str] = {}
    for window in windows:
        signals = {
            "Features": window["data"],
            "Predictions": window["prediction"] or {},
            "Estimate without labels": window["proxy"] or {},
            "Metric on labelled rows": window["performance"],
        }
        for name, each in signals.items():
            if each.get("reason"):
                held = f" Not announced: {each['held']}" if each.get("held") else ""
                found.setdefault(name, f"Window {window['number']}: {each['reason']}.{held}".replace("..", "."))
    return found


def _link(url: str | None) -> str | None:
    """Return an address of a page; anything else is no link."""
    return url if url and url.startswith(("http://", "https://")) else None
