"""The cost of signed decisions: to sign an event when it is emitted, and to verify it where it is read.

`python -m benchmarks.signing_cost [--seconds 2]` prints a Markdown table: milliseconds an event, the median and
what 99 of 100 do not exceed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

from chassis.settings import MEBIBYTE
from chassis.signing.event_signature import sign_event, verify_event
from chassis.signing.keys import SigningKey, TrustedKeys
from contracts import Cause, Promoted, new_envelope
from contracts.cloudevents import Record, decode, encode

FEATURES = 200
"""Columns whose importance a promotion names: its data has some kilobytes."""


def promoted() -> Promoted:
    return Promoted(
        model_name="flights-delay",
        model_version=3,
        epoch=7,
        artifact_uri="models:/flights-delay/3",
        artifact_digest=f"sha256:{1:064x}",
        cause=Cause.GATE,
        actor="gatekeeper",
        reason="better than v2 on the same 20000 rows",
        importance={f"feature-{number}": 1 / (number + 1) for number in range(FEATURES)},
    )


def milliseconds(work: Callable[[], object], seconds: float) -> Iterator[float]:
    """Yield how long each call of `work` took, for so many seconds."""
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        work()
        yield (time.perf_counter() - began) * 1000


def measured(seconds: float) -> dict[str, list[float]]:
    """Return milliseconds of each call, by what was done."""
    key = SigningKey.generate()
    others = [SigningKey.generate().public for _ in range(3)]
    trusted = TrustedKeys([key.public, *others])
    plain = encode(new_envelope(promoted(), source="gatekeeper"))
    signed = sign_event(plain, [key])
    record = Record(Promoted.topic, signed.key, signed.value, signed.headers)
    works: dict[str, Callable[[], object]] = {
        "encode, as without keys": lambda: encode(new_envelope(promoted(), source="gatekeeper")),
        "sign": lambda: sign_event(plain, [key]),
        "decode, as without keys": lambda: decode(record, MEBIBYTE),
        "verify": lambda: verify_event(record, trusted),
    }
    return {name: list(milliseconds(work, seconds)) for name, work in works.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    found = measured(parser.parse_args().seconds)
    print("| An event | ms, median | ms, 99 % | calls |\n|---|---|---|---|")
    for name, times in found.items():
        longest = statistics.quantiles(times, n=100)[-1]
        print(f"| {name} | {statistics.median(times):.3f} | {longest:.3f} | {len(times):,} |")


if __name__ == "__main__":
    main()
