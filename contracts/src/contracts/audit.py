"""The signed head of the gatekeeper's audit trail, for those who keep it where the gatekeeper cannot write."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from contracts.event import Event, Value

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class AuditPosition(Value):
    """A place in the trail: the number of rows up to it, and the digest of the last of them."""

    rows: int = Field(ge=0, description="Number of rows")
    digest: Digest = Field(description="Digest of the last of them, which depends on every row before it")


class AuditHeadSigned(Event):
    """The audit trail has this head. It is signed, so a trail that is written anew no longer matches it.

    Its key is named after rows and digest: compaction keeps every head, and of two that contradict each other both.
    """

    type: ClassVar[str] = "gauntlet.AuditHeadSigned.v1"
    topic: ClassVar[str] = "audit-heads"
    signed: ClassVar[bool] = True

    model_name: str = Field(
        pattern=r"^audit\.[0-9]+\.[0-9a-f]{16}$",
        description="The Kafka key: audit., the number of rows, and the first 16 digits of the digest",
    )
    rows: int = Field(ge=1, description="Number of rows of the trail, of all models")
    digest: Digest = Field(description="Digest of the last row, which depends on every row before it")
    signed_at: datetime = Field(description="When the trail had this head")
    key_id: str = Field(description="The key that signs it")
    previous: AuditPosition | None = Field(default=None, description="The head that was published before")


def head_key(rows: int, digest: str) -> str:
    """Return the Kafka key of a head."""
    return f"audit.{rows}.{digest.removeprefix('sha256:')[:16]}"
