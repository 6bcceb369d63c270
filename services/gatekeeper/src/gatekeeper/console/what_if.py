"""What a changed policy would have decided on a model's past verdicts, within a time limit. Nothing is recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chassis.database import Database
from chassis.policies import PolicyError, parse_policy
from contracts.policy import ModelPolicy
from gatekeeper.api.evidence import Rejudged, judged_verdicts, rejudged
from gatekeeper.replay import Replayer

MOST = 50
"""Verdicts, the newest."""
SECONDS = 8.0
"""After which no further verdict is evaluated; the one that is being evaluated is finished."""


@dataclass(frozen=True)
class WhatIf:
    """`verdicts`: newest first, of `found` that could have been evaluated; `error`: why the policy cannot be read."""

    text: str
    policy: ModelPolicy | None = None
    verdicts: Sequence[Rejudged] = ()
    found: int = 0
    error: str | None = None

    @property
    def changed(self) -> list[Rejudged]:
        return [each for each in self.verdicts if each.problem is None and each.then != each.now]

    @property
    def unknown(self) -> list[Rejudged]:
        return [each for each in self.verdicts if each.problem is not None]


def what_if(
    text: str, model_name: str, database: Database, replayer: Replayer, *, most: int = MOST, seconds: float = SECONDS
) -> WhatIf:
    """Evaluate the newest verdicts again under the policy that `text` holds."""
    try:
        policy = parse_policy(text.encode(), Path("the changed policy"))
    except PolicyError as error:
        return WhatIf(text, error=str(error))
    if policy.model != model_name:
        return WhatIf(
            text, error=f"It is the policy of model {policy.model!r}, and this page is that of {model_name!r}."
        )
    with database.reading() as session:
        rows = judged_verdicts(session, model_name, most)
    ends = time.monotonic() + seconds
    found: list[Rejudged] = []
    for row in rows:
        if time.monotonic() > ends:
            break
        found.append(rejudged(replayer, policy, row))
    return WhatIf(text, policy, found, len(rows))
