"""The policy of a model: its gates, the rows they use, and what follows (`policies/<model>.yaml`)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    model_validator,
)

from contracts.drift_settings import FORMER_DROP, FORMER_SHARE, Benchmark, Drift, impossible
from contracts.durations import Duration
from contracts.event import ModelName
from contracts.gate_settings import (
    Dependents,
    Fairness,
    Functional,
    Integrity,
    Latency,
    Leakage,
    Lineage,
    Minimum,
    Performance,
    Robustness,
    Slices,
)
from contracts.metrics import DEFAULT_METRIC, METRICS, MetricName, Problem, metrics_in, only_problem
from contracts.rollout_settings import Approval, Trial, Watch, on_is_all_defaults, trials
from contracts.runtime_settings import Features, Sandbox, Serving
from contracts.section import Section


def _off_is_false(value: Any) -> Any:
    """Map YAML's `on` to the gate's defaults; `latency: off` disables it."""
    return {} if value is True or value is None else value


def _retained_is_all_defaults(value: Any) -> Any:
    if not isinstance(value, dict | Retained) and value not in ("newest", "retained"):
        raise ValueError("candidates are newest, retained, or for example {retained: 10}")
    return {} if value == "retained" else value


class Training(Section):
    """Which windows of a recipe's data a training uses."""

    windows: int = Field(default=2, ge=1, description="Number of windows before the golden one that a training uses")


class Golden(Section):
    """The labelled rows on which champion and challenger are compared."""

    window: Literal["previous", "holdout"] = Field(
        default="previous",
        description="previous: the window directly after the training windows; holdout: a share of the entities",
    )
    share: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="holdout only: share of the entities that are golden, chosen by a stable hash",
    )
    max_rows: int = Field(default=20_000, ge=1, description="Maximum golden rows; the same ones are chosen each time")
    dataset: str | None = Field(
        default=None,
        pattern=r"^(latest|sha256:[0-9a-f]{64})$",
        description="The golden dataset (`gauntlet golden create`) on which every version is judged: its digest, or"
        " latest. Default: the rows that the version brings, else the newest golden dataset",
    )


class Gates(Section):
    """In the order in which they run. A gate that is not named runs with its defaults, if it is on by default; `false`
    leaves it out."""

    if_off: ClassVar[str] = "each gate is switched off by its name, such as {latency: off}"

    fail_fast: bool = Field(default=False, description="Skip the gates after the first one that failed")
    lineage: Annotated[Lineage | Literal[False], BeforeValidator(_off_is_false)] = Lineage()
    integrity: Annotated[Integrity | Literal[False], BeforeValidator(_off_is_false)] = Integrity()
    functional: Annotated[Functional | Literal[False], BeforeValidator(_off_is_false)] = Functional()
    leakage: Annotated[Leakage | Literal[False], BeforeValidator(_off_is_false)] = Leakage()
    performance: Annotated[Performance | Literal[False], BeforeValidator(_off_is_false)] = Performance()
    slices: Annotated[Slices | Literal[False], BeforeValidator(_off_is_false)] = False
    fairness: Annotated[Fairness | Literal[False], BeforeValidator(_off_is_false)] = False
    robustness: Annotated[Robustness | Literal[False], BeforeValidator(_off_is_false)] = False
    latency: Annotated[Latency | Literal[False], BeforeValidator(_off_is_false)] = Latency()
    dependents: Annotated[Dependents | Literal[False], BeforeValidator(_off_is_false)] = False


class Retained(Section):
    """Earlier versions stay candidates: on each new golden dataset they are compared again with the newest."""

    retained: int = Field(
        default=30,
        ge=1,
        description="Number of versions that stay candidates, the newest ones, not counting the champion",
    )
    max_age: Duration | None = Field(
        default=None, description="Maximum age of a retained version, since its registration"
    )


_DRIFT_KEYS = ("budget", "after", "retrain", "alerts")
_LATER_KEYS = ("staging", "watch", "supersede", "label_maturity", "benchmark")


class ModelPolicy(Section):
    """One model: what its versions must prove, on which rows, and how they are trained, watched and served."""

    model: ModelName
    problem: Problem = Field(
        default="binary",
        description="What the model predicts. Default: found from the metric, the model and the label (the verdict"
        " says which); binary for a model with a recipe",
    )
    metric: MetricName = Field(
        default="roc_auc",
        description="The metric on which champion and challenger are compared. Default: roc_auc of a binary problem,"
        " accuracy of a multiclass one, mae of a regression",
    )
    label: str | None = Field(
        default=None,
        description="Column of the golden rows that holds the truth. Default: as the model's metadata or the golden"
        " dataset names it",
    )
    entity: str | None = Field(
        default=None,
        description="Column that identifies the entity of a row (customer, aircraft); its rows are not independent",
    )
    recipe: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:[\w.]+$",
        description="How the trainer trains the model: package.module:attribute",
    )
    training: Training = Training()
    golden: Golden = Golden()
    gates: Gates = Gates()
    candidates: Annotated[Literal["newest"] | Retained, BeforeValidator(_retained_is_all_defaults)] = Field(
        default=Retained(),
        description="Which versions may become champion: newest, or also earlier ones (retained, with its defaults)",
    )
    sandbox: Sandbox = Sandbox()
    strategy: Annotated[tuple[Trial, ...], BeforeValidator(trials)] = Field(
        default=(),
        description="How a version that passed proves itself beside the champion: direct (at once), {shadow: …},"
        " {canary: …}, {ab: …}, or a list of them, one after another",
    )
    staging: Literal["none", "smoke"] = Field(
        default="none",
        description="smoke: before anything else, a staging replica has loaded the version and predicted golden rows",
    )
    approval: Annotated[Approval | None, BeforeValidator(on_is_all_defaults)] = Field(
        default=None, description="The people who must agree before it becomes champion; none: nobody"
    )
    watch: Annotated[Watch | None, BeforeValidator(on_is_all_defaults)] = Field(
        default=None, description="What happens after a promotion; off: nothing is watched"
    )
    supersede: Literal["wait", "newest"] = Field(
        default="wait",
        description="A version that passes during a rollout. wait: it waits for the end; newest: it takes the place",
    )
    label_maturity: Duration = Field(
        default=timedelta(0),
        ge=timedelta(0),
        description="How long labels take: rollouts count a prediction's label from this age on, and drift judges the"
        " performance of a window from this age of its rows on (0: from the measured delay on), so that labels that"
        " come quickly do not decide",
    )
    drift: Drift = Drift()
    benchmark: Annotated[Benchmark | None, BeforeValidator(on_is_all_defaults)] = Field(
        default=None,
        description="At which intervals champion, earlier versions and a trivial baseline are compared; off: never",
    )
    features: Features | None = None
    serving: Serving = Serving()

    _digest_as_written: str | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _what_the_rest_implies(cls, content: Any) -> Any:
        """Complete the metric from the problem, and the problem from metrics that only one problem has."""
        if not isinstance(content, dict):
            return content
        found = dict(content)
        if "problem" not in found and (problem := only_problem(metrics_in(found))):
            found["problem"] = problem
        if "problem" not in found and found.get("recipe") is not None:
            found["problem"] = "binary"  # the trainer must know it before there is a version
        if "metric" not in found and isinstance(problem := found.get("problem"), str) and problem in DEFAULT_METRIC:
            found["metric"] = DEFAULT_METRIC[problem]
        return found

    @model_validator(mode="after")
    def _metrics_fit_the_problem(self) -> ModelPolicy:
        possible = (self.problem,) if self.states_problem else get_args(Problem)
        named = (*self.metrics, *(name for name in sorted(self.drift.alerts) if name not in self.metrics))
        for name in named:
            possible = tuple(each for each in possible if each in METRICS[name].problems)
            if not possible and self.states_problem:
                raise ValueError(f"metric {name!r} is not defined for a {self.problem} problem")
        if not possible:
            raise ValueError(f"no problem has all of these metrics: {', '.join(named)}")
        for name in self.drift.alerts:
            if METRICS[name].of_every_class:
                raise ValueError(f"drift.alerts: {name} needs the score of each class, which predictions do not carry")
        if self.golden.window == "holdout" and self.entity is None:
            raise ValueError("golden.window: holdout needs `entity`: rows of one entity must stay on one side")
        if self.features and self.features.key is None and self.entity is None:
            raise ValueError("features needs `key`, the column of the ids, or `entity`, whose name it has")
        return self

    @model_validator(mode="after")
    def _the_drop_is_possible(self, info: ValidationInfo) -> ModelPolicy:
        """Of what a person writes: evidence that holds such a policy stays readable."""
        metric = self.metric if self.states_metric else None
        if info.context and (why := impossible(self.drift.metric_drop, metric)):
            raise ValueError(f"drift.metric_drop: {why}")
        return self

    @field_serializer("strategy")
    def _direct_is_a_word(self, strategy: tuple[Trial, ...]) -> Any:
        return strategy or "direct"

    @field_serializer("approval")
    def _none_is_a_word(self, approval: Approval | None) -> Any:
        return approval or "none"

    @field_serializer("watch", "benchmark")
    def _off_is_a_word(self, section: Watch | Benchmark | None) -> Any:
        return section or "off"

    @property
    def strategy_in_words(self) -> str:
        """`direct`, or the names of the trials in their order: `shadow, canary`."""
        return ", ".join(name for trial in self.strategy for name in type(trial).model_fields) or "direct"

    @property
    def rolls_out(self) -> bool:
        """Whether a version that passed must do more than pass before it is champion, or is watched afterwards."""
        return bool(self.strategy or self.approval or self.watch or self.staging != "none")

    @property
    def states_problem(self) -> bool:
        """Whether the policy, and not the version that is judged, determines the problem."""
        return "problem" in self.model_fields_set

    @property
    def states_metric(self) -> bool:
        """Whether the metric is known before a version is judged."""
        return self.states_problem or "metric" in self.model_fields_set

    def completed(self, problem: Problem) -> ModelPolicy:
        """The policy for a version of this problem, with its metric; `digest` stays that of the policy as written.

        A policy that states its problem is returned as it is. Raises ValueError when a metric that the policy names is
        not defined for the problem.
        """
        if self.states_problem:
            return self
        written = self.model_dump(exclude_unset=True)
        try:
            found = ModelPolicy.model_validate({**written, "problem": problem})
        except ValidationError as error:
            raise ValueError("; ".join(str(each["ctx"]["error"]) for each in error.errors())) from error
        found._digest_as_written = self.digest
        return found

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that a version is judged by, in the order of their names."""
        named = {self.metric} if self.states_metric else set()
        if isinstance(self.gates.performance, Performance):
            named |= self.gates.performance.floor.keys()
            if isinstance(self.gates.performance.rule, Minimum):
                named |= self.gates.performance.rule.minimum.keys()
        return tuple(sorted(named))

    @property
    def digest(self) -> str:
        """Return the digest of what gates depend on; comments, order and serving settings do not matter."""
        if self._digest_as_written is not None:
            return self._digest_as_written
        # A key that was added later and is left out does not change the digest of the policies there were before.
        later: dict[str, Any] = {"label": True} if self.label is None else {}
        if isinstance(self.gates.robustness, Robustness) and self.gates.robustness.unseen_as_known == "warn":
            later["gates"] = {"robustness": {"unseen_as_known"}}
        later |= {name: True for name in _LATER_KEYS if getattr(self, name) == type(self).model_fields[name].default}
        # Nor does a default that has changed: no gate depends on it.
        standard = Drift()
        later |= {"drift": {name for name in _DRIFT_KEYS if getattr(self.drift, name) == getattr(standard, name)}}
        former: dict[str, Any] = {}
        if self.drift.metric_drop == standard.metric_drop:
            former["metric_drop"] = FORMER_DROP
        if self.drift.drift_share is None:
            former["drift_share"] = FORMER_SHARE
        written = self.model_copy(update={"drift": self.drift.model_copy(update=former)})
        judged = written.model_dump_json(exclude={"features": True, "serving": True, **later})
        if not self.states_problem:
            judged = f"problem not stated: {judged}"
        return "sha256:" + hashlib.sha256(judged.encode()).hexdigest()
