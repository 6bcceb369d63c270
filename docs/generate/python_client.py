"""The Python client's classes, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from docs.generate.markdown import code, page, paragraph, sentence, table

import gauntlet_client
from gauntlet_client import ClientError, Gauntlet, Subscription
from gauntlet_client.results import Result

INTRODUCTION = """
`pip install` the folder `client` of this repository, and `contracts`, which it stands on: they bring httpx, pydantic
and clients of Kafka, and nothing of the services. What it promises: [ADR 34](../adr/0034-a-client-of-its-own.md).
"""
EXAMPLE = """```python
from gauntlet_client import Gauntlet

with Gauntlet() as gauntlet:
    registered = gauntlet.register("late-flights", 2, reason="gradient boosted trees")
    waited = gauntlet.wait("late-flights", 2, "promotion", event_id=registered.id, progress=print)
    if waited.ok:
        print(gauntlet.predict("late-flights", [{"hour": 18, "distance": 1400}]).predictions[0].score)

    for event in gauntlet.events("Promoted", "GateFailed", group="my-service"):
        tell_the_team(event.data)  # an event is committed when this has ended; an exception commits nothing
```"""
ASYNC = """
`AsyncGauntlet` has the same methods as coroutines: `await gauntlet.models()`, `async for event in gauntlet.events(…)`,
`async with AsyncGauntlet() as gauntlet`.
"""
EVENTS = """
At least once means: a program that is killed, or whose loop ends by an exception or by `break`, gets the event again
that it was handling, and after it those that follow. So an effect must bear to happen twice: `event.id` and
`event.source` together are the same each time. Events of one model come in their order. `event.data` is one of the
classes of `contracts` ([events](events.md)); a type that this version does not know is skipped with a warning of the
logger `gauntlet_client`, as is a message that is no event. Signatures are not verified: `gauntlet verify-topic` does.
With access control, the Kafka user needs Read on the topics and on the group (`TOPIC_PREFIX` and `group`), and Write on
`dead-letters` for `handle` ([secure a stack](../how-to/secure.md)).
"""
GOAL = '"verdict" | "promotion"'


def python_client_page() -> str:
    parts = [
        EXAMPLE,
        "## Gauntlet",
        *_documented(Gauntlet),
        *[part for name, method in _methods(Gauntlet) for part in _method(name, method)],
        "## AsyncGauntlet",
        paragraph(ASYNC),
        "## Events",
        paragraph(EVENTS),
        *_documented(Subscription),
        "## Results",
        table(("Class", "Fields", "Description"), _results()),
        "## Errors",
        paragraph("Each has `message`, what happened with which value, and `hint`, what to do, or None."),
        table(("Class", "Is a", "Description"), _errors()),
    ]
    return page("The Python client", "its docstrings", INTRODUCTION, parts)


def _documented(kind: Any) -> list[str]:
    return [paragraph(text) for text in inspect.cleandoc(kind.__doc__).split("\n\n")]


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, method in vars(kind).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            yield name, method


def _method(name: str, method: Any) -> list[str]:
    written = str(inspect.signature(method)).replace("(self, ", "(").replace("(self)", "()")
    written = re.sub(r"'([^']*)'", r"\1", written).replace("waiting.Goal", GOAL)
    said = f"{name}{written}"
    if len(said) > 96:
        _, *given = inspect.signature(method).parameters.values()
        first = next((i for i, each in enumerate(given) if each.kind is each.KEYWORD_ONLY), len(given))
        star = not any(each.kind is each.VAR_POSITIONAL for each in given)
        lines = [re.sub(r"'([^']*)'", r"\1", str(each)).replace("waiting.Goal", GOAL) for each in given]
        if star and first < len(given):
            lines.insert(first, "*")
        said = f"{name}(\n{''.join(f'    {line},{chr(10)}' for line in lines)}) -> {written.rpartition(') -> ')[2]}"
    return [f"### {name}", f"```python\n{said}\n```", *_documented(method)]


def _results() -> Iterator[tuple[str, str, str]]:
    for name in sorted(gauntlet_client.__all__):
        kind = getattr(gauntlet_client, name)
        if inspect.isclass(kind) and issubclass(kind, Result):
            base = kind.__mro__[1]
            own = [field for field in kind.model_fields if field not in getattr(base, "model_fields", ())]
            more = "" if base is Result else f"those of {code(base.__name__)}, "
            yield code(name), more + ", ".join(map(code, own)), inspect.cleandoc(kind.__doc__ or "")


def _errors() -> Iterator[tuple[str, str, str]]:
    for name in sorted(gauntlet_client.__all__):
        kind = getattr(gauntlet_client, name)
        if inspect.isclass(kind) and issubclass(kind, ClientError):
            bases = ", ".join(code(base.__name__) for base in kind.__bases__)
            yield code(name), bases, sentence(kind.__doc__)
