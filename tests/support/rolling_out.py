"""A rollout for the tests of drift: its events, a random stream of rows and labels, and its sums from the raw rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from contracts import (
    Arm,
    Envelope,
    GroundTruthReceived,
    Loss,
    Mode,
    Output,
    OutputFormat,
    PredictionMade,
    RolloutChanged,
    RolloutMeasured,
    Stage,
    TriedVersion,
    new_envelope,
)
from contracts.latency_buckets import FIRST_MS, LAST, PER_DOUBLING
from contracts.losses import LossKind
from contracts.rollouts import BETS
from support.drifting import MODEL

CHAMPION, TRIED = 1, 2
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILED = "it fell over"
UNREADABLE = "?"
BRIER = Loss(kind=LossKind.BRIER, margin=0.01)


def changed(revision: int = 1, *, mode: Mode = Mode.SHADOW, **values: Any) -> RolloutChanged:
    stages = {Mode.SHADOW: Stage.SHADOW, Mode.SPLIT: Stage.CANARY, Mode.OFF: Stage.APPROVAL}
    event: dict[str, Any] = {
        "model_name": MODEL,
        "rollout_id": "r1",
        "revision": revision,
        "stage": stages[mode],
        "step": 0,
        "mode": mode,
        "share": 0.3 if mode is Mode.SPLIT else 0.0,
        "champion_version": CHAMPION,
        "champion_epoch": 1,
        "tried": TriedVersion(
            model_version=TRIED,
            artifact_uri="models:/shop/2",
            artifact_digest="sha256:2",
            output=OutputFormat(problem="binary"),
        ),
        "loss": BRIER,
        "began_at": BEGAN,
        "actor": "gatekeeper",
        "reason": "test",
    }
    return RolloutChanged(**{**event, **values})


def row(
    number: int,
    *,
    at: float = 0.0,
    entity: str | None = None,
    champion: Output | None = None,
    tried: Output | None = None,
    arm: Arm | None = None,
    step: int | None = 0,
    model: str = MODEL,
    rollout_id: str = "r1",
) -> Envelope[PredictionMade]:
    """A row made `at` seconds after the step began; without `step` of no rollout."""
    event = PredictionMade(
        model_name=model,
        request_id=f"q{number // 4}",
        row=number % 4,
        entity_id=entity,
        features={"age": number},
        champion=champion or Output(model_version=CHAMPION),
        challenger=tried,
        arm=arm,
        rollout_id=rollout_id if step is not None else None,
        step=step,
        latency_ms=1.0,
    )
    envelope = new_envelope(event, source="serving", event_id=f"{number}")
    return envelope.model_copy(update={"time": BEGAN + timedelta(seconds=at)})


def output(version: int, score: float | None, latency_ms: float | None = 1.0) -> Output:
    """`score` None: it failed."""
    if score is None:
        return Output(model_version=version, error=FAILED, latency_ms=latency_ms)
    return Output(model_version=version, score=score, label=int(score >= 0.5), latency_ms=latency_ms)


def label(
    of: Envelope[PredictionMade], value: Any, *, by_entity: bool = False, times: int = 0
) -> Envelope[GroundTruthReceived]:
    """`times`: makes another event of it."""
    event = GroundTruthReceived(
        model_name=of.data.model_name,
        request_id=None if by_entity else of.data.request_id,
        row=0 if by_entity else of.data.row,
        entity_id=of.data.entity_id if by_entity else None,
        label=value,
    )
    made = new_envelope(event, source="test", event_id=f"{of.id}:{times}")
    return made.model_copy(update={"time": of.time + timedelta(seconds=1)})


def random_rows(
    count: int, seed: int, *, split: bool, model: str = MODEL, began: datetime = BEGAN, seconds: float = 600
) -> list[Envelope[PredictionMade]]:
    """Entities with several rows each, and rows of none; both versions fail now and then."""
    rng = np.random.default_rng(seed)
    found = []
    for number, at in enumerate(np.sort(rng.uniform(0, seconds, count))):
        entity = f"e{rng.integers(count // 4)}" if rng.random() < 0.8 else None
        scores = [None if rng.random() < 0.03 else round(float(score), 3) for score in rng.random(2)]
        slow = rng.lognormal(1, 1, 2).tolist()
        of_champion, of_tried = output(CHAMPION, scores[0], slow[0]), output(TRIED, scores[1], slow[1])
        theirs = split and hash_share(entity or f"row{number}") < 0.3
        if theirs:
            # Where the challenger fails, the champion answers.
            of_champion = of_champion if scores[1] is None else Output(model_version=CHAMPION)
        arm = (Arm.CHALLENGER if theirs else Arm.CHAMPION) if split else None
        tried = of_tried if theirs or not split else None
        made = row(number, at=float(at), entity=entity, arm=arm, model=model, champion=of_champion, tried=tried)
        found.append(made.model_copy(update={"time": began + timedelta(seconds=float(at))}))
    return found


def hash_share(text: str) -> float:
    return int.from_bytes(text.encode()[-3:], "big") * 0.618034 % 1


def expected(
    rows: Sequence[Envelope[PredictionMade]], labels: Sequence[Envelope[GroundTruthReceived]], event: RolloutChanged
) -> dict[str, Any]:
    """The sums that RolloutMeasured must carry when every label is mature, computed with numpy from the raw rows.

    Of the labels of a row, all are the same; of an entity, the first row with a readable label gives the value.
    """
    split = event.mode is Mode.SPLIT
    by_request = {(item.data.request_id, item.data.row): item.data.label for item in labels if item.data.request_id}
    by_entity = {item.data.entity_id: item.data.label for item in labels if item.data.entity_id}
    unique = {(item.data.request_id, item.data.row): item for item in rows}
    ordered = sorted(unique.values(), key=lambda item: item.time)
    arms: dict[str, dict[str, Any]] = {}
    chosen: dict[Any, tuple[Envelope[PredictionMade], float]] = {}
    for item in ordered:
        data = item.data
        truth = by_request.get((data.request_id, data.row), by_entity.get(data.entity_id))
        unit = data.entity_id or (data.request_id, data.row)
        who = _who(data, split=split)
        complete = who and all(output.error is None for _, output in who) and (split or len(who) == 2)
        if truth in (0, 1) and complete:
            chosen.setdefault((unit, tuple(name for name, _ in who)), (item, float(truth)))
    for name in ("champion", "tried"):
        mine = [(item.data, out) for item in ordered for whom, out in _who(item.data, split=split) if whom == name]
        losses = np.array(
            [
                (dict(_who(item.data, split=split))[name].score - truth) ** 2
                for (_, of), (item, truth) in chosen.items()
                if name in of
            ]
        )
        milliseconds = np.array([out.latency_ms for _, out in mine])
        buckets = np.clip(np.ceil(PER_DOUBLING * np.log2(milliseconds / FIRST_MS) - 1e-9), 0, LAST).astype(int)
        numbers, counts = np.unique(buckets, return_counts=True)
        arms[name] = {
            "model_version": CHAMPION if name == "champion" else TRIED,
            "units": len({data.entity_id or (data.request_id, data.row) for data, _ in mine}),
            "predictions": len(mine),
            "errors": sum(out.error is not None for _, out in mine),
            "latency": {str(number): int(count) for number, count in zip(numbers, counts, strict=True)},
            "labelled": len(losses),
            "loss": float(losses.sum()),
            "loss2": float((losses**2).sum()),
            "right": int((losses < 0.5).sum()),
        }
    d = np.array(
        [
            (item.data.champion.score - truth) ** 2 - (item.data.challenger.score - truth) ** 2
            for (_, of), (item, truth) in chosen.items()
            if len(of) == 2
        ]
    )
    both = [
        (item.data.champion.score >= 0.5) == (item.data.challenger.score >= 0.5)
        for item in ordered
        if len(who := _who(item.data, split=split)) == 2 and all(out.error is None for _, out in who)
    ]
    margin = event.loss.margin if event.loss else 0.0
    bets = np.array(BETS)[:, None]
    units = sum(arm["units"] for arm in arms.values()) if split else arms["champion"]["units"]
    values = sum(arm["labelled"] for arm in arms.values()) if split else len(d)
    return arms | {
        "paired": {
            "n": len(d),
            "wins": int((d > 0).sum()),
            "losses": int((d < 0).sum()),
            "sum_d": float(d.sum()),
            "sum_d2": float((d**2).sum()),
            "log_wealth_better": np.log(1 + bets * (d + margin) / (1 - margin)).sum(axis=1).tolist() if len(d) else [],
            "log_wealth_worse": np.log(1 - bets * (d + margin) / (1 + margin)).sum(axis=1).tolist() if len(d) else [],
        },
        "compared": len(both),
        "agreed": sum(both),
        "waiting": units - values,
    }


def differences(measured: RolloutMeasured, sums: dict[str, Any]) -> dict[str, Any]:
    """What differs from `expected`, by name; numbers with fractions by more than rounding."""
    found = measured.model_dump(mode="json")
    flat, wanted = _flat({name: found[name] for name in sums}), _flat(sums)
    return {
        name: (flat.get(name), wanted.get(name))
        for name in flat.keys() | wanted.keys()
        if not _same(flat.get(name), wanted.get(name))
    }


def _who(data: PredictionMade, *, split: bool) -> list[tuple[str, Output]]:
    """Whose predictions of the row count."""
    if split and data.challenger is not None:
        return [("tried", data.challenger)]
    return [("champion", data.champion), *([("tried", data.challenger)] if data.challenger is not None else [])]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: item for part, inner in pairs for key, item in _flat(inner, f"{name}.{part}").items()}
    return {name: value}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        return bool(np.isclose(one, other, rtol=1e-9, atol=1e-9))
    return one == other
