"""What can be set of drift; environment variables, prefix DRIFT_."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings
from contracts.policy import Duration


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing; write it as 30s, 10m, 1h or 7d")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="DRIFT_", env_file=".env", extra="ignore", populate_by_name=True)

    port: int = Field(8020, ge=1, le=65535, description="Port to listen on")
    public_url: str = Field(
        "", description="Where people reach this service, for links to reports; default: http://HOST:PORT"
    )
    label_share: float = Field(0.8, gt=0, le=1, description="A window's performance is judged at this share of labels")
    label_maturity: PositiveDuration = Field(
        timedelta(days=7), description="... or with the labels there are so long after the window was complete"
    )
    label_retention: PositiveDuration = Field(
        timedelta(days=30), description="How long ground truth waits for its prediction"
    )
    windows_kept: int = Field(50, ge=1, description="Judged windows a version whose rows are kept")
    history_kept: int = Field(2000, ge=1, description="Judged windows a version whose verdicts are kept")
    reports_kept: int = Field(
        100, ge=1, description="HTML reports a version that are kept; those of announced drift stay for ever"
    )
    report_rows: int = Field(10_000, ge=200, description="Rows of each side that a report is drawn from")
    sweep_seconds: float = Field(10.0, gt=0, description="How often overdue windows and old rows are looked for")

    @model_validator(mode="after")
    def _default_public_url(self) -> Settings:
        if not self.public_url:
            host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
            self.public_url = f"http://{host}:{self.port}"
        self.public_url = self.public_url.rstrip("/")
        return self
