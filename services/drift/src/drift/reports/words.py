"""The sentences of a window's page. Facts that a window does not have (it was judged by another rule) are left out."""

from __future__ import annotations

from typing import Any

from drift.database.tables import WindowRow

OUTCOMES = {"Failed": "drift", "Passed": "no drift", "Inconclusive": "inconclusive"}
METHODS = {
    "wasserstein": "numbers",
    "jensenshannon": "categories",
    "missing share": "missing",
    "unseen share": "unseen",
}
MEANING = (
    "Distances: of numbers, Wasserstein's in standard deviations of the reference; of categories, Jensen and Shannon's,"
    " from 0 to 1; of missing values, the difference of their shares; of unseen ones, the share of rows with a category"
    " that the reference does not have."
)
BLIND = (
    "The features alone cannot show that the same values have come to mean something else (concept drift). Labels can,"
    " and the performance is judged on them. Evidently's report leaves missing values out; the verdict does not."
)
PROXY = (
    "A proxy: it assumes that the same features still mean the same, so it cannot see concept drift, and alone it never"
    " promotes or rolls back."
)
SIGNAL = "The predictions are a signal of their own: alone they decide nothing."


def headline(window: WindowRow) -> str:
    """Return the state of the window in one sentence."""
    if window.performance_outcome == "Failed":
        return "The model performs worse on these rows than it must."
    if window.data_outcome == "Failed":
        harm = (window.harm or {}).get("harm")
        found = {"harmful": "The data has drifted, and this is estimated to harm the predictions."}
        found["benign"] = "The data has drifted; no harm to the predictions is estimated."
        return found.get(str(harm), "The data has drifted; whether this does harm is not known.")
    if window.data_outcome == "Passed":
        return "The data is as usual." + (" So is the performance." if window.performance_outcome == "Passed" else "")
    if window.data_outcome is None:
        return "The window is not judged yet."
    return "Whether the data has drifted cannot be said."


def limits(found: dict[str, Any] | None) -> str | None:
    """Return the origin of the limits."""
    if not found or not found.get("assumption"):
        return None
    windows, splits, share = found.get("windows") or 0, found.get("splits") or 0, found.get("share")
    allowed = f" They allow {100 * share:.3g} % of the windows without drift to exceed one." if share else ""
    if found["assumption"] == "windows":
        past = "windows of the reference in order of time" if found.get("blocks") else "past windows"
        return f"The limits are calibrated on {windows:,} {past}: ordinary day-to-day variation is in them.{allowed}"
    if windows:
        return (
            f"The limits are calibrated on {splits:,} random splits of the reference, and widened by {windows:,} past"
            " windows: so few make them wide, so that small drifts are seen later, until enough are known."
            f"{allowed}"
        )
    return (
        f"The limits are calibrated on {splits:,} random splits of the reference: ordinary day-to-day variation is not"
        f" in them. They may be exceeded more often than planned until enough past windows are known.{allowed}"
    )


def share_rule(found: dict[str, Any] | None) -> str | None:
    """Return what a fixed share would have done on the calibration windows."""
    rule = (found or {}).get("share_rule")
    if not rule or rule.get("of") in (None, 0):
        return None
    return (
        f"A fixed drift_share of {rule['share']:g} would have alarmed in {rule['alarms']:,} of {rule['of']:,}"
        " calibration windows, all without drift."
    )


def estimate(found: dict[str, Any]) -> str | None:
    """Return the estimated metric with its interval and the baseline."""
    value, metric = found.get("estimated"), found.get("metric")
    if value is None or metric is None:
        return None
    low, high, baseline = found.get("low"), found.get("high"), found.get("baseline")
    span = f" ({low:.4f} to {high:.4f})" if low is not None and high is not None else ""
    before = f"; {baseline:.4f} on the golden rows" if baseline is not None else ""
    return f"Estimated {metric}: {value:.4f}{span}{before}."


def two_limits(window: WindowRow) -> str | None:
    """Explain a drift that is harmful although the estimate is within the policy's bound, or the reverse."""
    harm, proxy = (window.harm or {}).get("harm"), (window.proxy or {}).get("outcome")
    if (harm, proxy) not in (("harmful", "Passed"), ("benign", "Failed")):
        return None
    return (
        "This and the harm are two questions. The bound is the policy's metric_drop: what is announced as a drop of the"
        " performance. The harm asks whether the drift costs a loss that is worth a training, however large a drop is"
        " allowed."
    )


def distance(found: dict[str, Any]) -> str | None:
    score, limit = found.get("distance", found.get("score")), found.get("limit")
    if score is None or limit is None:
        return None
    return f"Distance from the reference's predictions: {score:.4f}; limit {limit:.4f}."


def interval(window: WindowRow) -> str | None:
    """Return the interval of the performance."""
    if window.low is None and window.high is None:
        return None
    if window.low is None or window.high is None:
        side = f"at most {window.high:.4f}" if window.low is None else f"at least {window.low:.4f}"
        return f"With the certainty of the test: {side}."
    return f"Interval of {window.metric}: {window.low:.4f} to {window.high:.4f}."
