"""The common base of events: a frozen value, wrapped in CloudEvents attributes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

LARGEST_INTEGER = 2**31 - 1
"""Of versions and epochs: the integer columns of the databases hold no larger one."""

MODEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"

ModelName = Annotated[str, Field(pattern=MODEL_NAME_PATTERN, description="Name in MLflow; the Kafka key")]
ModelVersion = Annotated[int, Field(ge=1, le=LARGEST_INTEGER, description="Version number in MLflow")]


class Value(BaseModel):
    """A frozen value. Unknown keys are ignored, so that an older reader understands a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Event(Value):
    """The data of one event; a subclass is one type on one topic."""

    type: ClassVar[str]
    topic: ClassVar[str]
    headers_optional: ClassVar[bool] = False
    """True when a publisher may send only key and JSON value; the id is then derived from the content."""
    signed: ClassVar[bool] = False
    """True for a decision that its readers act on: its emitter signs it where it has a signing key."""

    model_name: ModelName


E = TypeVar("E", bound=Event)


class Envelope(Value, Generic[E]):
    """An event with its CloudEvents 1.0 attributes, as it travels in Kafka headers (binary content mode)."""

    id: str = Field(min_length=1)
    source: str = Field(min_length=1, description="Who emitted it; id and source together are the identity")
    time: datetime
    correlation_id: str = Field(description="The whole story: the same on everything that followed one cause")
    causation_id: str | None = Field(default=None, description="The id of the event that directly led to this one")
    traceparent: str | None = None
    data: E

    @property
    def type(self) -> str:
        return self.data.type

    @property
    def model_name(self) -> str:
        return self.data.model_name


def new_envelope(
    data: E,
    *,
    source: str,
    cause: Envelope[Any] | None = None,
    correlation_id: str | None = None,
    event_id: str | None = None,
    time: datetime | None = None,
) -> Envelope[E]:
    """Wrap `data`; with a `cause`, inherit its correlation id and set the causation id to its id."""
    own_id = event_id or str(uuid4())
    return Envelope(
        id=own_id,
        source=source,
        time=time or datetime.now(UTC),
        correlation_id=correlation_id or (cause.correlation_id if cause else own_id),
        causation_id=cause.id if cause else None,
        traceparent=cause.traceparent if cause else None,
        data=data,
    )


def content_id(event_type: str, key: bytes, value: bytes) -> str:
    """Derive an id for an event without headers: equal content gives an equal id, whatever the JSON spacing and order.

    Raises ValueError when `value` is not JSON.
    """
    canonical = json.dumps(json.loads(value), sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(event_type.encode() + b"\0" + key + b"\0" + canonical).hexdigest()[:32]
