"""A policy in words: its effects, so that its author can check the intention."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chassis.explain.drift import drift_in_words
from chassis.explain.quantities import counted, duration
from chassis.explain.rollout import rollout_in_words
from contracts.gate_settings import (
    Delta,
    Dependents,
    Fairness,
    Integrity,
    Latency,
    Leakage,
    Lineage,
    Minimum,
    Performance,
    Robustness,
    Slices,
)
from contracts.metrics import DEFAULT_METRIC, METRICS
from contracts.policy import ModelPolicy, Retained

Sentence = tuple[str, str]


def in_words(policy: ModelPolicy) -> list[Sentence]:
    """Return (subject, sentence) for everything that `policy` decides, defaults included."""
    return [
        ("model", f"{policy.model}: {_problem(policy)}."),
        ("training", _training(policy)),
        ("golden rows", _golden(policy)),
        *_gates(policy),
        ("sandbox", _sandbox(policy)),
        ("candidates", _candidates(policy)),
        *rollout_in_words(policy),
        *drift_in_words(policy),
        ("features", _features(policy)),
        ("serving", _serving(policy)),
    ]


def _problem(policy: ModelPolicy) -> str:
    together = f"; rows with the same {policy.entity} belong together" if policy.entity else ""
    if not policy.states_problem:
        defaults = ", ".join(f"{metric} if {problem}" for problem, metric in DEFAULT_METRIC.items())
        metric = policy.metric if policy.states_metric else defaults
        return f"the problem is found from each version and its golden rows, which are compared on {metric}{together}"
    better = "greater" if METRICS[policy.metric].greater_is_better else "smaller"
    return f"a {policy.problem} problem, compared on {policy.metric} ({better} is better){together}"


def _training(policy: ModelPolicy) -> str:
    if policy.recipe is None:
        return "No recipe: it cannot be trained here, only registered (gauntlet register)."
    windows = counted(policy.training.windows, "window")
    where = "up to the newest" if policy.golden.window == "holdout" else "before the golden one"
    return f"{policy.recipe} trains on the {windows} {where}."


def _golden(policy: ModelPolicy) -> str:
    golden = policy.golden
    most = f"at most {golden.max_rows:,} rows"
    if golden.window == "holdout":
        whose = f"{golden.share:.0%} of the values of {policy.entity}, by stable hash"
        return f"Judged on {whose}, held out of the training windows; {most}."
    return f"Judged on the window directly after the training windows; {most}."


def _gates(policy: ModelPolicy) -> Iterator[Sentence]:
    gates = policy.gates
    off = "Off: nothing is asked."
    yield (
        "gates",
        "They run in order until one fails; those after it say that they were not run, and a candidate that fails "
        "before the champion is asked starts no tournament."
        if gates.fail_fast
        else "All of them run, whatever fails, so that one verdict tells everything.",
    )
    yield (
        "gate lineage",
        _lineage(gates.lineage) if gates.lineage else off,
    )
    yield "gate integrity", _integrity(gates.integrity) if gates.integrity else f"{off} A model may run anything."
    yield (
        "gate functional",
        "It must load and answer twice alike, in the right shape, without NaN, and single rows as in a batch."
        if gates.functional
        else off,
    )
    yield (
        "gate leakage",
        _leakage(gates.leakage) if gates.leakage else f"{off} A version may be judged on its training rows.",
    )
    yield (
        "gate performance",
        " ".join(_performance(policy, gates.performance)) if gates.performance else f"{off} A worse model passes.",
    )
    if gates.slices:
        yield "gate slices", _slices(gates.slices)
    if gates.fairness:
        yield "gate fairness", _fairness(gates.fairness)
    if gates.robustness:
        yield "gate robustness", _robustness(gates.robustness)
    yield "gate latency", _latency(gates.latency) if gates.latency else off
    if gates.dependents:
        yield "gate dependents", _dependents(gates.dependents)


def _lineage(gate: Lineage) -> str:
    words = {"run": "run", "signature": "signature", "data": "digest of the training data", "code": "code version"}
    required = [words[part] for part in gate.require]
    other = [word for part, word in words.items() if part not in gate.require]
    must = f"Must be known: {', '.join(required)}." if required else "Nothing must be known."
    return f"{must} {'Shown only: ' + ', '.join(other) + '. ' if other else ''}Registered digests must agree."


def _integrity(gate: Integrity) -> str:
    loads = {
        "any": "It may carry code of its own, which runs where it is served, but nothing that a scanner warns of",
        "allow_listed": "It may carry no code of its own; a pickle may use only what the allow-list names",
        "safe": "It may be no pickle and carry no code",
    }[gate.serialisation]
    also = f" (and {', '.join(gate.allow)})" if gate.allow else ""
    needs = {
        "compatible": " The packages that it declares must be installed, in the same major version.",
        "exact": " The packages that it declares must be installed, in the versions that it names.",
        "ignore": "",
    }[gate.dependencies]
    known = {
        "check": " Known vulnerabilities fail it, where the gatekeeper has advisories.",
        "require": " Known vulnerabilities fail it; without advisories nothing passes.",
        "ignore": " Known vulnerabilities are not looked for.",
    }[gate.vulnerabilities]
    return f"Its artifact must be the one that was registered. {loads}{also}.{needs}{known}"


def _leakage(gate: Leakage) -> str:
    entity = {
        "auto": " Rows of an entity that was trained on count as trained on, unless all golden rows are later.",
        "always": " Rows of an entity that was trained on count as trained on.",
        "never": "",
    }[gate.entity]
    unknown = "is Inconclusive" if gate.unknown == "inconclusive" else "passes"
    return (
        f"Golden rows that a version or the champion was trained on are left out; at least {gate.minimum_rows:,} must "
        f"remain.{entity} A version whose training rows are not known {unknown}."
    )


def _slices(gate: Slices) -> str:
    return (
        f"For no value of {' or '.join(gate.columns)} with at least {gate.minimum_rows:,} rows it may be worse than "
        f"the champion by more than {gate.margin_share:.0%} of what the champion is better than a constant answer."
    )


def _fairness(gate: Fairness) -> str:
    return (
        f"Its {gate.metric} over the groups of {' and '.join(gate.columns)} must stay below {gate.limit:g}, and must "
        f"not exceed the champion's by more than {gate.margin:g}."
    )


def _robustness(gate: Robustness) -> str:
    return (
        f"On {gate.share:.0%} of spoilt cells ({', '.join(gate.perturbations)}) it must not fail, and may lose "
        f"{gate.margin_share:.0%} of what it is better than a constant answer."
    )


def _dependents(gate: Dependents) -> str:
    names = ", ".join(consumer.name for consumer in gate.consumers)
    consumers = f" Nothing may break for {names}." if names else ""
    return (
        "Its outputs must have the champion's names and types, and its scores may be distributed differently by at "
        f"most {gate.max_shift:g} (Kolmogorov-Smirnov).{consumers}"
    )


def _performance(policy: ModelPolicy, gate: Performance) -> Iterator[str]:
    bound = f"at {1 - gate.alpha:.0%} confidence"
    metric = policy.metric if policy.states_metric else "metric"
    champion = "the champion on the same golden rows"
    match gate.rule:
        case Minimum(minimum=minimum):
            yield f"Must reach {_bounds(minimum)} on the golden rows; the champion is not looked at."
        case Delta(delta=delta):
            yield f"Its {metric} must be better than that of {champion} by more than {delta:g}, as measured."
        case "superior":
            yield f"Its {metric} must be better than that of {champion}, {bound}."
        case _:
            yield (
                f"Its {metric} must not be worse than that of {champion} by more than {gate.margin_share:.0%} "
                f"of what the champion is better than a constant answer, {bound}."
            )
    if gate.alpha_spending and not isinstance(gate.rule, Minimum | Delta):
        levels = ", ".join(f"{gate.alpha * 6 / (math.pi * k) ** 2:.2%}" for k in (1, 2, 3))
        yield f"The error rate of {gate.alpha:.0%} is shared by all challengers of the same golden rows: {levels}, …"
    if policy.entity:
        yield (
            f"Rows with the same {policy.entity} count as one piece of evidence; where there are fewer than 30 of them"
            " and the golden rows have an event time, blocks of neighbours in time do."
        )
    else:
        yield "Golden rows with an event time are compared by moving blocks of time."
    floors = f" and reach {_bounds(gate.floor)}" if gate.floor else ""
    trivial = {"mase": "the last value", "directional_accuracy": "the commonest direction"}
    least = trivial.get(policy.metric, "a constant answer") if policy.states_metric else "a constant answer"
    yield f"Without a champion it must beat {least}{floors}, {bound}."


def _bounds(bounds: dict[str, float]) -> str:
    return " and ".join(
        f"{metric} {'≥' if METRICS[metric].greater_is_better else '≤'} {value:g}" for metric, value in bounds.items()
    )


def _latency(gate: Latency) -> str:
    batch = f", of batches of {gate.batch_rows:,} rows {gate.batch_p95_ms:g} ms" if gate.batch_p95_ms else ""
    said = f"95 % of one-row predictions must take at most {gate.p95_ms:g} ms{batch}, loading at most"
    times = f" Nor more than {gate.times_champion:g} times as long as the champion." if gate.times_champion else ""
    return f"{said} {gate.load_seconds:g} s.{times}"


def _sandbox(policy: ModelPolicy) -> str:
    limits = policy.sandbox
    ends = f"after {limits.seconds:g} s or above {limits.memory_mb:,} MiB"
    return f"Candidate code is stopped {ends}, and has then failed its gate."


def _candidates(policy: ModelPolicy) -> str:
    if not isinstance(policy.candidates, Retained):
        return "Only a new version may become champion; an earlier one when a person says so."
    young = (
        f", none registered more than {duration(policy.candidates.max_age)} ago" if policy.candidates.max_age else ""
    )
    compares = policy.gates.performance is not False and not isinstance(policy.gates.performance.rule, Minimum)
    drift = (
        " So they are when it drifts, on a golden dataset that was made since the champion was judged."
        if policy.golden.dataset == "latest" and compares
        else ""
    )
    return (
        f"The newest {counted(policy.candidates.retained, 'earlier version')}{young} are judged again on each new "
        f"version's golden rows: the best of all becomes champion, if it is shown to be better.{drift}"
    )


def _features(policy: ModelPolicy) -> str:
    source = policy.features
    if source is None:
        return "Clients send rows; no feature source answers those who send ids."
    key = source.key or policy.entity
    where = f"table {source.table} by {key}, in the database that {source.url_env} names"
    return f"Clients may send ids instead of rows: serving reads {where}."


def _serving(policy: ModelPolicy) -> str:
    tolerance, share = policy.serving.parity_tolerance, policy.serving.prediction_share
    near = "1e-06 (replicas: SERVING_PARITY_TOLERANCE)" if tolerance is None else f"{tolerance:g}"
    told = "all requests (or SERVING_PREDICTION_SHARE of them)" if share is None else f"{share:.3g} of the requests"
    return (
        f"A compiled form answers with the model's own labels, and scores that differ by at most {near}; otherwise the "
        f"model answers itself. PredictionMade is published for {told}."
    )
