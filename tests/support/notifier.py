"""A process that plans and sends notifications, as a gatekeeper does, and kills itself (-9) at a chosen point.

`python -m support.notifier DATABASE_URL FILE OWNER [POINT]`. The points are reached by wrapping the real code.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from chassis.database import Database
from gatekeeper.database import notification_planning as planning
from gatekeeper.notifications.channels import Channels
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.planner import Planner
from gatekeeper.notifications.sender import Sender

SECONDS = 2.0
"""Limit of an attempt."""
MARGIN = timedelta(seconds=0.5)


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def while_planning() -> None:
    """In the planner's transaction, when the first notification is written and the cursor has not moved."""
    add = planning.add_notification

    def dying(*args: Any, **options: Any) -> None:
        add(*args, **options)
        args[0].flush()
        die()

    planning.add_notification = dying


def after_planning() -> None:
    """After the planner's transaction, before anything is sent."""
    plan = Planner._plan

    def dying(self: Any, *args: Any) -> Any:
        count, more = plan(self, *args)
        if count:
            die()
        return count, more

    Planner._plan = dying  # type: ignore[method-assign]


def before_sending() -> None:
    """After the claim, before the target has received anything."""
    Channels.send = die  # type: ignore[assignment]


def after_sending() -> None:
    """After the target has taken it, before that is recorded."""
    Sender._record = die  # type: ignore[assignment]


POINTS = {each.__name__: each for each in (while_planning, after_planning, before_sending, after_sending)}


async def run(url: str, path: Path, owner: str) -> None:
    database, file = Database(url), NotificationsFile(path)
    channels = Channels(file, SECONDS)
    sender = Sender(
        database, file, channels, owner=owner, public_url="http://127.0.0.1", timeout=SECONDS, margin=MARGIN
    )
    for part in (file, sender, Planner(database, file, sender.wake)):
        await part.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) > 4:
        POINTS[sys.argv[4]]()
    asyncio.run(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
