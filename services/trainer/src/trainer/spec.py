"""Input and output of a training process: two JSON files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from contracts import ModelRegistered, Trigger
from contracts.policy import ModelPolicy


class TrainingTask(BaseModel):
    """The payload of a job, as the handlers record it."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_name: str
    trigger: Trigger
    window: str | None = None
    from_run: str | None = None
    drifted_at: datetime | None = Field(default=None, description="The newest row of the window that drifted")


class TrainingSpec(BaseModel):
    """Complete input of one training process."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    job_id: str
    task: TrainingTask
    policy: ModelPolicy | None
    tracking_uri: str
    allowed_uris: str = ""
    work_dir: Path
    reference_rows: int = 10_000
    seed: int = 0


class TrainingReport(BaseModel):
    """Output of a training process: the event to emit, or the error to report."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    registered: ModelRegistered | None = None
    again: bool = Field(default=False, description="The version was already there: this process only found it")
    error: str | None = None


class Progress(BaseModel):
    """A line on the process's standard output."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    progress: float = Field(ge=0, le=1)
    message: str
