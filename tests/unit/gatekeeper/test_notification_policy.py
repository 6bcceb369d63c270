"""Which event is worth a message, to whom, when, and again when: tables of cases, and what holds for all of them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import EVENTS
from contracts.notification_settings import Notified, Severity, Subscription
from gatekeeper.policy.notifications.escalation import Pending, escalated
from gatekeeper.policy.notifications.matching import NEWS, is_news, recipients
from gatekeeper.policy.notifications.quiet_hours import quiet_until
from gatekeeper.policy.notifications.retrying import LONGEST, MOST_ATTEMPTS, is_given_up, pause_after
from gatekeeper.policy.notifications.scheduling import Join, New, Waiting, placed
from gatekeeper.policy.notifications.severity import severity_of

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


def subscription(**given_: Any) -> Subscription:
    return Subscription.model_validate({"name": "s", "target": "t", "severity": "info", **given_})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("event_type", "data", "severity"),
    [
        ("Promoted", {"cause": "gate"}, INFO),
        ("Promoted", {"cause": "approval"}, INFO),
        ("Promoted", {"cause": "rollback"}, CRITICAL),
        ("RolloutChanged", {"stage": "canary"}, INFO),
        ("RolloutChanged", {"stage": "ended", "result": "aborted"}, WARNING),
        ("RolloutChanged", {"stage": "ended", "result": "expired"}, WARNING),
        ("RolloutChanged", {"stage": "ended", "result": "kept"}, INFO),
        ("RolloutChanged", {"stage": "ended", "result": "refused"}, INFO),
        ("RolloutChanged", {"stage": "ended", "result": "superseded"}, INFO),
        ("RolloutChanged", {"stage": "ended", "result": "promoted"}, None),
        ("RolloutChanged", {"stage": "ended", "result": "rolled back"}, None),
        ("RolloutChanged", {"stage": "ended", "result": "of a later build"}, WARNING),
        ("ApprovalRequested", {}, WARNING),
        ("ApprovalGiven", {}, INFO),
        ("ApprovalRefused", {}, INFO),
        ("GatePassed", {}, INFO),
        ("GateFailed", {}, WARNING),
        ("TrainingFailed", {}, WARNING),
        ("TrainingRequested", {}, INFO),
        ("ModelRegistered", {}, INFO),
        ("ModelLoaded", {}, INFO),
        ("ModelLoadFailed", {"permanent": False, "role": "production"}, WARNING),
        ("ModelLoadFailed", {"permanent": True, "role": "production"}, CRITICAL),
        ("ModelLoadFailed", {"permanent": True, "role": "staging"}, WARNING),
        ("DriftDetected", {"kind": "data", "harm": None}, WARNING),
        ("DriftDetected", {"kind": "data", "harm": {"harm": "harmful"}}, WARNING),
        ("DriftDetected", {"kind": "data", "harm": {"harm": "benign"}}, INFO),
        ("DriftDetected", {"kind": "prediction"}, INFO),
        ("DriftDetected", {"kind": "performance"}, WARNING),
        ("DriftDetected", {"kind": "proxy"}, WARNING),
        ("BenchmarkDue", {}, INFO),
        ("BenchmarkCompleted", {"outcome": "Passed"}, INFO),
        ("BenchmarkCompleted", {"outcome": "Failed"}, WARNING),
        ("BenchmarkCompleted", {"outcome": "Inconclusive"}, INFO),
        ("RolloutMeasured", {}, None),
        ("AuditHeadSigned", {}, None),
        ("PredictionMade", {}, None),
        ("GroundTruthReceived", {}, None),
        ("OfALaterBuild", {}, None),
    ],
)
def test_how_much_an_event_matters(event_type: str, data: dict[str, Any], severity: Severity | None) -> None:
    assert severity_of(event_type, data) is severity


def test_every_event_that_may_be_named_is_one_of_the_bus() -> None:
    assert set(Notified) <= {event.__name__ for event in EVENTS}


@pytest.mark.parametrize(
    ("wanted", "event_type", "model_name", "severity", "reached"),
    [
        ({}, "GateFailed", "flights", WARNING, True),
        ({"events": ["Promoted"]}, "GateFailed", "flights", WARNING, False),
        ({"events": ["Promoted", "GateFailed"]}, "GateFailed", "flights", WARNING, True),
        ({"models": ["flights-*"]}, "GateFailed", "flights", WARNING, False),
        ({"models": ["churn", "flights*"]}, "GateFailed", "flights", WARNING, True),
        ({"models": ["Flights"]}, "GateFailed", "flights", WARNING, False),
        ({"severity": "critical"}, "GateFailed", "flights", WARNING, False),
        ({"severity": "critical"}, "Promoted", "flights", CRITICAL, True),
        ({"severity": "warning"}, "Promoted", "flights", CRITICAL, True),
    ],
)
def test_what_a_subscription_receives(
    wanted: dict[str, Any], event_type: str, model_name: str, severity: Severity, reached: bool
) -> None:
    assert bool(recipients([subscription(**wanted)], event_type, model_name, severity)) is reached


def test_of_subscriptions_with_one_target_the_first_is_told() -> None:
    several = [
        subscription(name="never", events=["Promoted"]),
        subscription(name="first"),
        subscription(name="second"),
        subscription(name="other", target="u"),
    ]
    assert [each.name for each in recipients(several, "GateFailed", "flights", WARNING)] == ["first", "other"]


@pytest.mark.parametrize(
    ("happened", "began", "is_told"),
    [
        (NOON, NOON - timedelta(hours=1), True),
        (NOON, NOON, True),
        (NOON - timedelta(seconds=1), NOON, False),
        (NOON - NEWS - timedelta(seconds=1), NOON - timedelta(days=100), False),
        (NOON - NEWS, NOON - timedelta(days=100), True),
    ],
)
def test_the_past_is_not_told(happened: datetime, began: datetime, is_told: bool) -> None:
    assert is_news(happened, began, NOON) is is_told


NIGHT = {"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"}
EARLY = {"from": "01:00", "to": "02:30", "time_zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("quiet", "when", "until"),
    [
        (NIGHT, "2026-06-01 19:59", None),  # 21:59 in Berlin, in summer UTC+2
        (NIGHT, "2026-06-01 20:00", "2026-06-02 05:00"),
        (NIGHT, "2026-06-02 04:59:59", "2026-06-02 05:00"),
        (NIGHT, "2026-06-02 05:00", None),
        (NIGHT, "2026-12-01 20:30", None),  # 21:30, in winter UTC+1
        (NIGHT, "2026-12-01 21:00", "2026-12-02 06:00"),
        (NIGHT, "2026-03-28 21:00", "2026-03-29 05:00"),  # the clocks go forward in this night: 8 hours
        (NIGHT, "2026-10-24 20:00", "2026-10-25 06:00"),  # and back in this: 10 hours
        ({**NIGHT, "from": "12:00", "to": "13:00"}, "2026-06-01 10:30", "2026-06-01 11:00"),
        ({**NIGHT, "from": "12:00", "to": "13:00"}, "2026-06-01 11:00", None),
        (EARLY, "2026-03-29 00:30", "2026-03-29 01:30"),  # 02:30 does not exist: 03:30
        (EARLY, "2026-03-29 01:29", "2026-03-29 01:30"),
        (EARLY, "2026-03-29 01:30", None),
        (EARLY, "2026-10-25 00:29", "2026-10-25 01:30"),  # 02:30 exists twice: the second
        (EARLY, "2026-10-25 01:29", "2026-10-25 01:30"),
        (EARLY, "2026-10-25 01:30", None),
    ],
)
def test_quiet_hours(quiet: dict[str, str], when: str, until: str | None) -> None:
    hours = subscription(quiet_hours=quiet).quiet_hours
    assert hours is not None
    assert quiet_until(utc(when), hours, BERLIN) == (None if until is None else utc(until))


@given(
    when=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
)
def test_quiet_hours_end_within_a_day_and_are_over_then(when: datetime, start: Any, end: Any, zone: str) -> None:
    written = {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}", "time_zone": zone}
    if written["from"] == written["to"]:
        return
    hours = subscription(quiet_hours=written).quiet_hours
    assert hours is not None
    until = quiet_until(when, hours, ZoneInfo(zone))
    if until is not None:
        assert when < until <= when + timedelta(hours=26)
        following = quiet_until(until, hours, ZoneInfo(zone))
        assert following is None or following - until < timedelta(hours=25)  # two nights that meet on a short day


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


RATE = {"messages": 2, "per": "10m"}
AT_NIGHT = {"from": "11:00", "to": "13:00", "time_zone": "UTC"}


@pytest.mark.parametrize(
    ("settings", "severity", "waiting", "dues", "expected"),
    [
        ({}, WARNING, [], [], New(at(0))),
        ({}, WARNING, [Waiting("m", "held", at(5))], [], New(at(0))),
        ({"group": "5m"}, WARNING, [], [], New(at(5), "model flights")),
        ({"group": "5m"}, WARNING, [Waiting("m", "model flights", at(2))], [], Join("m")),
        ({"group": "5m"}, WARNING, [Waiting("m", "model churn", at(2))], [], New(at(5), "model flights")),
        ({"group": "5m"}, WARNING, [Waiting("m", "model flights", at(0))], [], New(at(5), "model flights")),
        ({"group": "5m"}, CRITICAL, [Waiting("m", "model flights", at(2))], [], New(at(0))),
        ({"quiet_hours": AT_NIGHT}, WARNING, [], [], New(at(60), "held")),
        ({"quiet_hours": AT_NIGHT}, WARNING, [Waiting("m", "held", at(60))], [], Join("m")),
        ({"quiet_hours": AT_NIGHT, "group": "5m"}, WARNING, [Waiting("m", "held", at(60))], [], Join("m")),
        ({"quiet_hours": AT_NIGHT}, CRITICAL, [Waiting("m", "held", at(60))], [], New(at(0))),
        ({"quiet_hours": {**AT_NIGHT, "critical": "held"}}, CRITICAL, [], [], New(at(60), "held critical")),
        ({"rate": RATE}, WARNING, [], [at(-11), at(-1)], New(at(0))),
        ({"rate": RATE}, WARNING, [], [at(-8), at(-1)], New(at(2), "held")),
        ({"rate": RATE}, WARNING, [Waiting("m", "held", at(2))], [at(-8), at(-1), at(2)], Join("m")),
        ({"rate": RATE}, WARNING, [], [at(-10), at(-1)], New(at(0))),
        ({"rate": RATE, "quiet_hours": AT_NIGHT}, WARNING, [], [at(55), at(58)], New(at(65), "held")),
    ],
)
def test_when_an_event_is_sent_and_with_what(
    settings: dict[str, Any], severity: Severity, waiting: list[Waiting], dues: list[datetime], expected: Join | New
) -> None:
    found = placed(subscription(**settings), "flights", severity, NOON, zone=UTC, waiting=waiting, dues=dues)
    assert found == expected


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "group": st.sampled_from(["1m", "30m"]),
        "rate": st.fixed_dictionaries({"messages": st.integers(1, 3), "per": st.sampled_from(["10m", "2h"])}),
        "quiet_hours": st.just({"from": "12:10", "to": "13:00", "time_zone": "UTC"}),
    },
)
COMING = st.lists(
    st.tuples(st.integers(0, 600), st.sampled_from(["flights", "churn"]), st.sampled_from(list(Severity))), max_size=40
)


@given(settings=SETTINGS, coming=COMING)
def test_nothing_is_lost_and_nothing_is_told_twice(settings: dict[str, Any], coming: list[Any]) -> None:
    """A planner's rounds in memory: each event is in one message, which is due in time and within the bounds."""
    rule = subscription(**settings)
    messages: dict[str, tuple[New, bool, list[int]]] = {}
    for number, (second, model_name, severity) in enumerate(sorted(coming, key=lambda each: each[0])):
        now, critical = NOON + timedelta(seconds=second * 10), severity is CRITICAL
        waiting = [
            Waiting(name, made.group, made.due_at) for name, (made, _, _) in messages.items() if made.group is not None
        ]
        dues = [made.due_at for made, of, _ in messages.values() if of == critical]
        place = placed(rule, model_name, severity, now, zone=UTC, waiting=waiting, dues=dues)
        if isinstance(place, Join):
            made, _, events = messages[place.message_id]
            assert made.due_at > now
            events.append(number)
        else:
            assert place.due_at >= now
            messages[f"m{number}"] = (place, critical, [number])
            if critical and rule.rate is None:
                assert place.due_at == now
    told = Counter(number for _, _, events in messages.values() for number in events)
    assert told == Counter(range(len(coming)))
    for critical in (True, False):
        dues = sorted(made.due_at for made, of, _ in messages.values() if of is critical)
        if rule.rate is not None:
            most = rule.rate.messages
            assert all(later - first >= rule.rate.per for first, later in zip(dues, dues[most:], strict=False)), (
                "more messages than the bound allows"
            )
        if rule.quiet_hours is not None and not critical:
            assert not any(quiet_until(due, rule.quiet_hours, UTC) for due in dues)


@given(message_id=st.text(min_size=1, max_size=40), attempts=st.integers(1, 1000))
def test_a_pause_is_bounded_and_the_same_for_the_same_attempt(message_id: str, attempts: int) -> None:
    pause = pause_after(message_id, attempts)
    assert timedelta(seconds=4) <= pause <= LONGEST * 1.1
    assert pause == pause_after(message_id, attempts)


def test_pauses_double_and_end() -> None:
    pauses = [pause_after("m", attempt).total_seconds() for attempt in range(1, MOST_ATTEMPTS)]
    assert pauses[0] == pytest.approx(5, rel=0.11)
    assert pauses[3] == pytest.approx(40, rel=0.11)
    assert pauses[-1] == pytest.approx(3600, rel=0.11)
    assert 4 * 3600 < sum(pauses) < 8 * 3600
    assert [is_given_up(attempts) for attempts in (1, MOST_ATTEMPTS - 1, MOST_ATTEMPTS)] == [False, False, True]
    assert not is_given_up(MOST_ATTEMPTS + 1, since=MOST_ATTEMPTS)


def pending(minutes: float, model_name: str = "flights") -> Pending:
    return Pending("r1", "sha256:1", model_name, 3, 1, at(minutes))


def test_who_is_told_before_an_approval_expires() -> None:
    rules = [
        subscription(name="none"),
        subscription(name="two-hours", escalate={"before": "2h", "target": "lead"}),
        subscription(name="again", escalate={"before": "3h", "target": "lead"}),
        subscription(name="other", models=["churn"], escalate={"before": "2h", "target": "churn-lead"}),
    ]

    def told(*approvals: Pending) -> list[tuple[str, str]]:
        return [(rule.name, target) for _, rule, target in escalated(rules, approvals, NOON)]

    assert told(pending(121)) == [("again", "lead")]
    assert told(pending(120)) == [("two-hours", "lead")]
    assert told(pending(0)) == []
    assert told(pending(1), pending(1, "churn")) == [
        ("two-hours", "lead"),
        ("two-hours", "lead"),
        ("other", "churn-lead"),
    ]
    assert pending(1).event_id != pending(2).event_id
