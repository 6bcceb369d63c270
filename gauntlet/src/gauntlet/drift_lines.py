"""The drift of a model as text: its rules, its newest windows, and one window in detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape

from gauntlet.output import local_time

LIST_HEADINGS = {
    "model": "model",
    "champion": "champion",
    "window": "newest verdict",
    "data": "features",
    "performance": "performance",
    "filling": "filling",
}
COLUMNS = ("window", "rows", "labelled", "features", "harm", "performance", "judged", "announced")
SCORES = ("column", "compared", "distance", "usual", "limit", "")
WORDS = {"Failed": "drift", "Passed": "no drift", "Inconclusive": "inconclusive", None: "–"}
STYLES = {"Failed": "red", "Passed": "green", "Inconclusive": "yellow"}


def list_row(model: Mapping[str, Any]) -> dict[str, Any]:
    judged, filling = model["newest_verdict"], model["newest_window"]
    return {
        "model": model["model_name"],
        "champion": f"v{model['champion']['model_version']}" if model["champion"] else None,
        "window": judged["id"] if judged else None,
        "data": _outcome(judged["data"]) if judged else None,
        "performance": _outcome(judged["performance"]) if judged else None,
        "filling": filling["progress"] if filling and filling["state"] == "filling" else None,
    }


def model_lines(model: Mapping[str, Any]) -> Iterator[str]:
    """Return the state and the rules of a model, as lines of markup."""
    champion, rules, newest = model["champion"], model["rules"], model["newest_verdict"]
    if champion is None:
        yield f"[bold]{escape(model['model_name'])}[/]: predictions came, but no promotion is known"
    else:
        yield f"[bold]{escape(model['model_name'])} v{champion['model_version']}[/] {_standing(newest)}"
        if champion.get("features"):  # a service of an older build does not say
            yield f"features: {escape(champion['features'])}"
    rule = f"budget of {rules['budget']}" if rules["budget"] else f"drift_share {rules['drift_share']:g}"
    yield (
        f"rule: windows of {rules['window_rows']:,} rows, {rule}, announced after {rules['after']}, retrain"
        f" {rules['retrain']}"
    )
    if newest is not None:
        if origin := limits_line(newest["data"]["limits"]):
            yield f"limits: {origin}"
        yield f"page: {escape(newest['report_url'] or '')}"


def window_row(window: Mapping[str, Any]) -> tuple[Any, ...]:
    data, performance, harm = window["data"], window["performance"], window["data"]["harm"]
    judged = data["judged_at"] or performance["judged_at"]
    parts = {"features": data, "performance": performance}
    parts |= {"predictions": window["prediction"] or {}, "estimate": window["proxy"] or {}}
    announced = [name for name, part in parts.items() if part.get("event_id")]
    return (
        window["id"],
        window["progress"] if window["state"] == "filling" else f"{window['rows']:,}",
        f"{window['labelled']:,}",
        window["state"] if data["outcome"] is None else _outcome(data),
        harm["harm"] if harm else None,
        _performance(performance),
        local_time(judged) if judged else None,
        ", ".join(announced) or None,
    )


def window_lines(window: Mapping[str, Any]) -> Iterator[str]:
    """Return the verdicts of one window, as lines of markup."""
    yield f"[bold]{escape(window['id'])}[/]: {window['rows']:,} rows, {window['labelled']:,} labelled"
    data, harm = window["data"], window["data"]["harm"]
    yield _line("features", data)
    if harm:
        yield f"harm: {escape(harm['harm'])}. {escape(harm['reason'])}{_estimate(harm)}"
    if window["prediction"]:
        yield _line("predictions", window["prediction"])
    if window["proxy"]:
        yield _line("performance, estimated without labels", window["proxy"]) + _estimate(window["proxy"])
    yield _line("performance", window["performance"])
    if origin := limits_line(data["limits"]):
        yield f"limits: {origin}"
    if window["report_url"]:
        yield f"page: {escape(window['report_url'])}"


def score_row(score: Mapping[str, Any]) -> tuple[Any, ...]:
    usual = score.get("expected")
    return (
        score["feature"],
        score["method"],
        f"{score['score']:.4g}",
        None if usual is None else f"{usual:.4g}",
        f"{score['limit']:.4g}",
        "drifted" if score["drifted"] else "",
    )


def limits_line(limits: Mapping[str, Any] | None) -> str | None:
    """Return on what the limits were calibrated, and what a fixed share would have done."""
    if not limits or not limits["assumption"]:
        return None
    windows, rule = limits["windows"], limits["share_rule"]
    if limits["assumption"] == "windows":
        past = "windows of the reference in order of time" if limits["blocks"] else "past windows"
        said = f"calibrated on {windows} {past}"
    else:
        also = f" and {windows} past windows" if windows else ""
        variation = (
            "so few windows make them wide, and small drifts are seen later"
            if windows
            else "ordinary day-to-day variation is not in them"
        )
        said = f"calibrated on {limits['splits']} random splits of the reference{also}: {variation}"
    if rule and rule["of"]:
        said += f"; drift_share {rule['share']:g} would have alarmed in {rule['alarms']} of {rule['of']} without drift"
    return said


def _standing(newest: Mapping[str, Any] | None) -> str:
    if newest is None:
        return "has no judged window yet"
    worst = "Failed" if "Failed" in (newest["data"]["outcome"], newest["performance"]["outcome"]) else None
    style = STYLES.get(worst or newest["data"]["outcome"] or "", "yellow")
    features, performance = _outcome(newest["data"]), _outcome(newest["performance"])
    return f"[{style}]features: {features}, performance: {performance}[/] in {escape(newest['id'])}"


def _line(what: str, part: Mapping[str, Any]) -> str:
    if part["outcome"] is None:
        return f"{what}: not judged yet"
    style, held = STYLES.get(part["outcome"], "yellow"), f"; {part['held']}" if part.get("held") else ""
    return f"{what}: [{style}]{_outcome(part)}[/]. {escape((part['reason'] or '') + held)}"


def _estimate(part: Mapping[str, Any]) -> str:
    if part.get("estimated") is None or not part.get("metric"):
        return ""
    low, high = part.get("low"), part.get("high")  # an estimate of harm has none
    span = f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else ""
    return f" ({escape(part['metric'])} {part['estimated']:.4g}{span})"


def _outcome(part: Mapping[str, Any]) -> str:
    return WORDS.get(part["outcome"], "inconclusive")


def _performance(part: Mapping[str, Any]) -> str | None:
    if part["outcome"] is None:
        return None
    if part["observed"] is None or not part["metric"]:
        return _outcome(part)
    span = f" ({part['low']:.4g} to {part['high']:.4g})" if part["low"] is not None and part["high"] is not None else ""
    return f"{_outcome(part)}, {part['metric']} {part['observed']:.4g}{span}"
