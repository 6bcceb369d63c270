"""Structured logs with correlation ids."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog

from contracts import Envelope

NOISY = ("aiokafka", "kafka", "faststream", "alembic", "httpx", "urllib3", "mlflow")


def get_logger(name: str) -> Any:
    return structlog.get_logger(name)


def configure_logging(
    service: str,
    level: str = "INFO",
    log_format: Literal["text", "json"] = "text",
    more: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Send records of structlog and the standard library to stderr in one format, with `service` on each.

    `more`: returns what each line has besides, such as the ids of a trace.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
        *([] if more is None else [_add(more)]),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))


@contextmanager
def story(envelope: Envelope[Any]) -> Iterator[None]:
    """Within the block, every log line carries the event's correlation id, model and version."""
    names = {"correlation_id": envelope.correlation_id, "model_name": envelope.model_name}
    if (version := getattr(envelope.data, "model_version", None)) is not None:
        names["model_version"] = version
    with structlog.contextvars.bound_contextvars(**names):
        yield


def _add(more: Callable[[], Mapping[str, str]]) -> Any:
    def add(_logger: Any, _method: str, record: dict[str, Any]) -> dict[str, Any]:
        record.update(more())
        return record

    return add


def _add_service(service: str) -> Any:
    def add(_logger: Any, _method: str, record: dict[str, Any]) -> dict[str, Any]:
        record.setdefault("service", service)
        return record

    return add
