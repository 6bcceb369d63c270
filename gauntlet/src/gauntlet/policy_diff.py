"""What differs between two policies, key by key: values with their defaults, and whether that is looser or tighter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.durations import about
from contracts.policy import ModelPolicy
from gauntlet.policy_directions import OFF, Direction, direction

SECTIONS = ("approval", "watch", "benchmark", "features", "candidates")


@dataclass(frozen=True)
class Change:
    """`old` and `new`: None where the key is not there; `was_default`, `is_default`: the policy does not state it."""

    key: str
    old: Any
    new: Any
    direction: Direction
    was_default: bool
    is_default: bool

    @property
    def in_words(self) -> str:
        """Such as `gates.latency.p95_ms: 250 → 500`."""
        if isinstance(self.new, Mapping) and self.old in OFF:
            return f"{self.key} is switched on: {_text(self.new)}"
        if isinstance(self.old, Mapping) and self.new in OFF:
            return f"{self.key} is switched off: it was {_text(self.old)}"
        old = f"{_text(self.old)}{' (default)' if self.was_default else ''}"
        return f"{self.key}: {old} → {_text(self.new)}{' (default)' if self.is_default else ''}"


def changes(old: ModelPolicy, new: ModelPolicy) -> list[Change]:
    """Return what changes from `old` to `new`, in the order of the keys. Both are of one model."""
    before, after = _plain(old), _plain(new)
    stated = [set(_keys(each.model_dump(exclude_unset=True, by_alias=True))) for each in (old, new)]
    return [
        Change(
            key,
            was,
            now,
            direction(_general(key), _number(was), _number(now)),
            not _is_stated(key, stated[0]),
            not _is_stated(key, stated[1]),
        )
        for key, was, now in _differences("", before, after)
    ]


def _differences(prefix: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            key = f"{prefix}.{name}" if prefix else str(name)
            yield from _differences(key, old.get(name), new.get(name))
    elif old != new:
        yield prefix, old, new


def _plain(policy: ModelPolicy) -> dict[str, Any]:
    """Return the policy with every default; trials and consumers by their names."""
    found = policy.model_dump(by_alias=True)
    trials = [
        (name, settings) for trial in policy.strategy for name, settings in trial.model_dump(by_alias=True).items()
    ]
    found["strategy"] = {"order": [name for name, _ in trials], **dict(trials)}
    if len(trials) < 2:
        del found["strategy"]["order"]
    if dependents := found["gates"]["dependents"]:
        dependents["consumers"] = {f"[{each['name']}]": each for each in dependents["consumers"]}
    for name in SECTIONS:
        found[name] = "off" if getattr(policy, name) is None else found[name]
    return _values(found)  # type: ignore[no-any-return]


def _values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _values(each) for name, each in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [_values(each) for each in value]
    return str(value) if hasattr(value, "_fields") else value


def _keys(value: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, each in value.items():
        key = f"{prefix}{name}"
        yield key
        if isinstance(each, Mapping):
            yield from _keys(each, f"{key}.")
        elif isinstance(each, list | tuple):
            yield f"{key}.order"
            for item in each:
                if name == "strategy":
                    yield from _keys(item, f"{key}.")
                elif isinstance(item, Mapping):
                    yield f"{key}.[{item['name']}]"


def _is_stated(key: str, stated: Collection[str]) -> bool:
    """Return whether a policy states a key, or the whole entry of a list that it belongs to."""
    entry = f"{key.partition(']')[0]}]" if "]" in key else key
    return key in stated or entry in stated


def _general(key: str) -> str:
    """Return the key as the table of directions has it: `[]` for an entry of a list."""
    before, bracket, rest = key.partition(".[")
    return f"{before}[]{rest.partition(']')[2]}" if bracket else key


def _number(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _text(value: Any) -> str:
    if isinstance(value, timedelta):
        return about(value.total_seconds())
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items() if each is not None) or "its defaults"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
