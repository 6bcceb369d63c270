"""A message as text: plain, Markdown or HTML. What models and people wrote is escaped for the format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from html import escape

from contracts.notification_settings import Severity
from gatekeeper.policy.notifications.wording import Figure

LISTED = 10
"""Events of a group that are listed one by one; the others are counted."""
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:$^=])")
INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters, a line's end too, and those that turn the direction of a text around."""
MENTION = re.compile(r"@(?=\w)|(?<=<)(?=[!@#])")
"""Where chats read a name to call, such as @everyone or <!channel>; a character without width keeps them from it."""


class Format(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"


@dataclass(frozen=True)
class Item:
    """One event of a message."""

    source: str
    event_id: str
    type: str
    model_name: str
    model_version: int | None
    severity: Severity
    at: datetime
    title: str
    reason: str
    figures: tuple[Figure, ...]
    badness: float
    path: str


@dataclass(frozen=True)
class Content:
    """A message before it has a format."""

    title: str
    severity: Severity
    worst: Item
    items: tuple[Item, ...]
    """The oldest first."""
    link: str

    @property
    def model_name(self) -> str | None:
        """None for a message about several models."""
        names = {each.model_name for each in self.items}
        return self.items[0].model_name if len(names) == 1 else None


def content_of(items: Sequence[Item], public_url: str) -> Content:
    """Return the message about these events (at least one). Its figures are those of the worst."""
    ordered = tuple(sorted(items, key=lambda each: (each.at, each.source, each.event_id)))
    worst = max(ordered, key=lambda each: (each.severity.rank, each.badness, each.at))
    models = {each.model_name for each in ordered}
    title = worst.title
    if len(ordered) > 1:
        whose = ordered[0].model_name if len(models) == 1 else f"{len(models)} models"
        title = f"{whose}: {len(ordered)} events, the worst: {worst.title}"
    path = worst.path if len(models) == 1 else "/"
    return Content(f"[{worst.severity}] {title}", worst.severity, worst, ordered, public_url.rstrip("/") + path)


def body_of(content: Content, form: Format) -> str:
    """Return the body: the reason and the figures of the worst event, the other events, and the link."""
    clean = _CLEAN[form]
    worst = content.worst
    lines = [clean(_visible(worst.reason))] if worst.reason else []
    figures = [f"{clean(_visible(name))}: {clean(_visible(value))}" for name, value in worst.figures]
    others = []
    if len(content.items) > 1:
        shown = content.items[-LISTED:]
        others = [clean(f"{each.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC {each.title}") for each in shown]
        if more := len(content.items) - len(shown):
            others.append(clean(f"and {more} earlier"))
    when = clean(f"{worst.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    return _LAID_OUT[form](lines, figures, others, when, content.link)


def plain(text: str) -> str:
    return MENTION.sub(lambda found: f"{found.group()}\u2060", text)


def markdown(text: str) -> str:
    """Escape what Markdown, or a chat that reads something like it, would take for its own: also `@` and `<`."""
    entities = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKDOWN.sub(r"\\\1", entities)


def html(text: str) -> str:
    return escape(text, quote=True)


def _visible(text: str) -> str:
    return INVISIBLE.sub(" ", text)


def _text(lines: Sequence[str], figures: Sequence[str], others: Sequence[str], when: str, link: str) -> str:
    blocks = ["\n".join(lines), "\n".join(figures), "\n".join(others), when, link]
    return "\n\n".join(block for block in blocks if block)


def _as_markdown(lines: Sequence[str], figures: Sequence[str], others: Sequence[str], when: str, link: str) -> str:
    listed = ["\n".join(f"- {line}" for line in each) for each in (figures, others)]
    return "\n\n".join(block for block in ["\n".join(lines), *listed, when, f"<{link}>"] if block)


def _as_html(lines: Sequence[str], figures: Sequence[str], others: Sequence[str], when: str, link: str) -> str:
    blocks = [f"<p>{line}</p>" for line in lines]
    for each in (figures, others):
        if each:
            blocks.append("<ul>" + "".join(f"<li>{line}</li>" for line in each) + "</ul>")
    where = escape(link, quote=True)
    return "\n".join([*blocks, f"<p>{when}</p>", f'<p><a href="{where}">{where}</a></p>'])


_CLEAN: dict[Format, Callable[[str], str]] = {Format.TEXT: plain, Format.MARKDOWN: markdown, Format.HTML: html}
_LAID_OUT = {Format.TEXT: _text, Format.MARKDOWN: _as_markdown, Format.HTML: _as_html}
