"""Whether a drift of the data lowers the performance: estimated before there are labels of the window.

- `harmful` where the estimated loss is `least_loss` or more. Also where the model does not use the drifted columns:
  labels of earlier windows may show a loss that no column explains.
- Else `benign` where the model does not use the drifted columns, or where even the far end of the estimate's interval
  is below `least_loss`.
- Else `unknown`, as without an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from contracts import Harm, HarmEstimate, Outcome
from contracts.metrics import METRICS
from drift.policy import proxy as proxies
from drift.policy.proxy import Proxy
from drift.policy.windows import Verdict

LEAST_OF_A_SHARE = 0.02
"""Of metrics from 0 to 1 where greater is better: two hundredths, such as 0.02 of AUC."""
LEAST_RELATIVE = 0.05
"""Of all others: a share of the baseline."""
UNUSED_SHARE = 0.02
"""A column is not used if it is less important than this share of the most important one."""
BENIGN_Z = 0.84
"""The far end of the interval that a benign drift must not reach `least_loss` with: one-sided, 80 %."""
MOST_NAMED = 5


def least_loss(metric: str, baseline: float) -> float:
    """Return the loss from which a drift is harmful, in the metric's unit."""
    return LEAST_OF_A_SHARE if METRICS[metric].is_share else LEAST_RELATIVE * abs(baseline)


def used(columns: Sequence[str], importance: Mapping[str, float]) -> tuple[str, ...] | None:
    """Return the columns that the model uses, the most important first; None if the importance of one is not known."""
    if not importance or any(name not in importance for name in columns):
        return None
    least = UNUSED_SHARE * max(0.0, *importance.values())
    found = [name for name in columns if importance[name] > least]
    return tuple(sorted(found, key=lambda name: -importance[name]))


def estimate_harm(
    drifted: Sequence[str],
    importance: Mapping[str, float],
    proxy: Proxy | None,
    baseline: float | None,
    prediction: Verdict | None = None,
    why_no_proxy: str = "there are no golden predictions",
) -> HarmEstimate:
    """Return what the drift of these columns is estimated to cost. `baseline`: of the proxy's metric."""
    matters = used(drifted, importance)
    of_drifted = {name: importance[name] for name in drifted if name in importance}
    said = _of_predictions(prediction)
    unused = f"the model does not use the drifted columns ({_named(drifted)})" if drifted and matters == () else None
    if proxy is None or baseline is None or not math.isfinite(baseline):
        if unused:
            return HarmEstimate(harm=Harm.BENIGN, reason=f"{unused}{said}", importance=of_drifted)
        reason = f"the performance cannot be estimated: {why_no_proxy}{_of_columns(matters)}{said}"
        return HarmEstimate(harm=Harm.UNKNOWN, reason=reason, importance=of_drifted)
    lost, least = proxies.loss(proxy, baseline), least_loss(proxy.metric, baseline)
    found = (
        f"{proxy.metric} is estimated as {proxy.estimated:.4f}, {_by(lost)} the baseline {baseline:.4f}"
        f" ({proxies.in_words(proxy)}); harmful from {least:.4f} on"
    )
    if lost >= least:
        harm = Harm.HARMFUL
    elif unused or lost + BENIGN_Z * proxy.se < least:
        harm = Harm.BENIGN
    else:
        harm, found = Harm.UNKNOWN, f"{found}, which is within the error of the estimate ({proxy.se:.4f})"
    return HarmEstimate(
        harm=harm,
        reason=f"{found}; {unused}{said}" if unused else f"{found}{_of_columns(matters)}{said}",
        metric=proxy.metric,
        baseline=baseline,
        estimated=proxy.estimated,
        importance=of_drifted,
    )


def _by(lost: float) -> str:
    return f"{lost:.4f} worse than" if lost > 0 else f"{-lost:.4f} better than" if lost < 0 else "equal to"


def _of_columns(matters: tuple[str, ...] | None) -> str:
    return f"; the model uses {_named(matters)}" if matters else ""


def _of_predictions(prediction: Verdict | None) -> str:
    if prediction is None or prediction.outcome is Outcome.INCONCLUSIVE:
        return ""
    moved = prediction.outcome is Outcome.FAILED
    return f"; its predictions have {'changed' if moved else 'not changed'}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
