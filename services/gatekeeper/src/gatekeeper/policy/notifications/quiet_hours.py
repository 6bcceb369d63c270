"""Quiet hours: local times of a day, in a zone whose clocks may be put forward and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from contracts.notification_settings import QuietHours


def quiet_until(when: datetime, quiet: QuietHours, zone: tzinfo) -> datetime | None:
    """Return the end (UTC) of the quiet hours in which `when` is; None outside of them.

    A local time that does not exist on a day is an hour later; of one that exists twice, the quiet hours begin with the
    first and end with the second: they are never shorter than people wrote.
    """
    today = when.astimezone(zone).date()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        start = _instant(day, quiet.from_, zone, fold=0)
        last = day if quiet.from_ < quiet.to else day + timedelta(days=1)
        end = _instant(last, quiet.to, zone, fold=1)
        if start <= when < end:
            return end
    return None


def _instant(day: date, at: time, zone: tzinfo, fold: int) -> datetime:
    """Return a local time as an instant (UTC)."""
    local = datetime.combine(day, at.replace(fold=fold), tzinfo=zone)
    found = local.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return found
    return local.replace(fold=0).astimezone(UTC)  # does not exist: fold 0 is the reading that is later
