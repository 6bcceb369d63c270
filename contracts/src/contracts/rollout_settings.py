"""Policy settings of what lies between a passed verdict and the champion: strategy, staging, approval, watch."""

from __future__ import annotations

import difflib
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from contracts.durations import Duration
from contracts.section import Section

Judged = Literal["metric", "errors", "latency", "agreement"]


def _range(value: Any) -> Any:
    """Parse `2000..50000`; a single number is the maximum and the minimum."""
    parts = value
    if isinstance(value, str):
        first, dots, last = value.partition("..")
        parts = (first, last if dots else first)
    elif isinstance(value, int) and not isinstance(value, bool):
        parts = (value, value)
    try:
        least, most = (int(str(number).replace("_", "").strip()) for number in parts)
    except (TypeError, ValueError):
        raise ValueError("not a range of rows; expected for example 2000..50000") from None
    return least, most


def _share(value: Any) -> Any:
    """Parse `10%` in addition to 0.1."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            value = float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError("not a share; expected for example 10% or 0.1") from None
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < 1:
        raise ValueError("not a share, which is more than 0 and less than 1; expected for example 10% or 0.1")
    return value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Share = Annotated[float, BeforeValidator(_share), Field(gt=0, lt=1)]
JudgedBy = Annotated[tuple[Judged, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
RowRange = Annotated[tuple[int, int], BeforeValidator(_range)]


class Limits(Section):
    """What the version that is tried may do worse than the champion before it is stopped."""

    margin: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="`on: metric`: mean loss by which the version may be worse than the champion, as a share of the"
        " loss's range. 0: it must be better",
    )
    errors: Share = Field(default=0.001, description="Share of its predictions that may fail, if the champion's do not")
    latency_factor: float = Field(
        default=1.5, gt=1, description="`on: latency`: a prediction is slow above this multiple of the champion's p95"
    )


class Shadow(Limits):
    """The champion answers; the version predicts the same rows, off the path of the request."""

    rows: RowRange = Field(
        default=(500, 50_000),
        description="Entities (rows, in a policy without `entity`) before a decision, and at most: 2000..50000",
    )
    on: JudgedBy = Field(
        default=("metric", "errors"),
        description="What decides: metric (with labels), agreement (with the champion, where there are no labels),"
        " errors, latency",
    )
    agreement: Share = Field(
        default=0.95, description="`on: agreement`: share of the predictions that must agree with the champion's"
    )

    @model_validator(mode="after")
    def _decides(self) -> Shadow:
        least, most = self.rows
        if not 1 <= least <= most:
            raise ValueError(f"rows {least}..{most}: the first number is at least 1 and at most the second")
        if {"metric", "agreement"} <= set(self.on):
            raise ValueError("on: metric or agreement, not both: with labels, agreement decides nothing")
        return self


class Canary(Limits):
    """A growing share of the entities is answered by the version."""

    steps: tuple[Share, ...] = Field(
        default=(0.01, 0.1, 0.5), min_length=1, description="Share of the entities at each step, such as [1%, 10%, 50%]"
    )
    bake: Duration = Field(default=timedelta(minutes=10), ge=timedelta(0), description="Minimum duration of each step")
    minimum: int = Field(default=100, ge=1, description="Predictions of the version at each step, at least")
    maximum: int = Field(
        default=100_000,
        ge=1,
        description="`on: metric`: entities of the version at the last step after which the champion stays",
    )
    on: JudgedBy = Field(
        default=("errors", "latency"),
        description="What decides: errors, latency, metric. With metric, harm ends every step, and the last one ends"
        " with a promotion only when the version is shown to be better (by more than minus the margin)",
    )

    @model_validator(mode="after")
    def _grows(self) -> Canary:
        if any(later <= earlier for earlier, later in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps {', '.join(f'{share:g}' for share in self.steps)}: each is larger than the last")
        if "agreement" in self.on:
            raise ValueError("on: agreement needs a shadow: in a canary only one version predicts a row")
        if "metric" in self.on and self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is less than minimum {self.minimum}")
        return self


class AB(Limits):
    """A fixed share of the entities is answered by the version until their labels decide."""

    share: Share = Field(default=0.5, description="Share of the entities that the version answers")
    minimum: int = Field(default=100, ge=1, description="Entities with a label in each arm before a decision")
    maximum: int = Field(
        default=100_000, ge=1, description="Entities with a label in both arms after which the champion stays"
    )
    on: JudgedBy = Field(default=("metric", "errors"), description="What decides: metric, errors, latency")

    @model_validator(mode="after")
    def _decides(self) -> AB:
        if "metric" not in self.on or "agreement" in self.on:
            raise ValueError("on: an A/B test is decided by metric (and errors, latency)")
        if self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is less than minimum {self.minimum}")
        return self


class ShadowStage(Section):
    shadow: Shadow


class CanaryStage(Section):
    canary: Canary


class ABStage(Section):
    ab: AB


_TRIALS: dict[str, type[ShadowStage] | type[CanaryStage] | type[ABStage]] = {
    "shadow": ShadowStage,
    "canary": CanaryStage,
    "ab": ABStage,
}


def _kind(value: Any) -> str | None:
    """Return the tag of a trial, so that only errors of its own settings are reported."""
    for name, stage in _TRIALS.items():
        if isinstance(value, stage) or (isinstance(value, dict) and name in value):
            return f"{name}_stage"
    return None


Trial = Annotated[
    Annotated[ShadowStage, Tag("shadow_stage")]
    | Annotated[CanaryStage, Tag("canary_stage")]
    | Annotated[ABStage, Tag("ab_stage")],
    Discriminator(_kind),
]


def trials(value: Any) -> Any:
    """Return the trials in their order: `direct` is none; `shadow`, or `{shadow: {…}}`, is one; a list may be several.

    Raises ValueError for anything else, with what was written.
    """
    if value == "direct" or value is None:
        return ()
    written = value if isinstance(value, list | tuple) else (value,)
    if not written:
        raise ValueError("an empty list is not a strategy; expected direct, or for example [{shadow: {}}]")
    return tuple(_trial(each) for each in written)


def _trial(written: Any) -> Any:
    if isinstance(written, str) and written in _TRIALS:
        return {written: {}}
    if isinstance(written, dict) and len(written) == 1 and next(iter(written)) in _TRIALS:
        return {name: {} if settings is None else settings for name, settings in written.items()}
    if isinstance(written, tuple(_TRIALS.values())):
        return written
    if isinstance(written, dict) and len(written) > 1 and written.keys() <= _TRIALS.keys():
        several = ", ".join(f"{{{name}: …}}" for name in written)
        raise ValueError(f"the keys of a mapping have no order; expected a list: [{several}]")
    word = next(iter(written)) if isinstance(written, dict) and len(written) == 1 else written
    near = difflib.get_close_matches(str(word).lower(), ["direct", *_TRIALS], n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near and word != "direct" else ""
    what = "direct stands alone" if word == "direct" else f"{word!r} is not a strategy"
    raise ValueError(f"{what}; expected direct, or one or a list of {{shadow: …}}, {{canary: …}}, {{ab: …}}{meant}")


class Approval(Section):
    """People agree, after the trials and before the promotion; whoever registered the version cannot."""

    people: int = Field(default=1, ge=1, le=20, description="Number of different people who must approve")
    expires: Duration = Field(
        default=timedelta(hours=72),
        gt=timedelta(0),
        description="Time after which a request for approval counts as refused",
    )


class Watch(Section):
    """After the promotion the former champion predicts in shadow, and takes over again when the new one is worse."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    for_: Duration = Field(
        default=timedelta(hours=24), gt=timedelta(0), alias="for", description="Duration, from the promotion"
    )
    on: JudgedBy = Field(
        default=("errors", "latency", "metric"), description="What is watched: errors, latency, metric"
    )
    rollback: bool = Field(default=True, description="Roll back; false: only report what was seen")
    errors: Share = Field(default=0.001, description="Share of its predictions that may fail")
    latency_factor: float = Field(
        default=1.5, gt=1, description="A prediction is slow above this multiple of the former champion's p95"
    )

    @model_validator(mode="after")
    def _watches(self) -> Watch:
        if "agreement" in self.on:
            raise ValueError("on: a watch is on errors, latency and metric; agreement shows no harm")
        return self


def on_is_all_defaults(value: Any) -> Any:
    """`approval: on` and `watch: on` are their defaults; `none` and `off` is None."""
    if value is True or value == "on":
        return {}
    return None if value is False or value in ("none", "off") else value
