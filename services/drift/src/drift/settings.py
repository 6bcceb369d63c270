"""Settings of the drift service; environment variables with prefix DRIFT_."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings
from contracts.durations import Duration


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing; write it as 30s, 10m, 1h or 7d")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="DRIFT_", env_file=".env", extra="ignore", populate_by_name=True)

    port: int = Field(8020, ge=1, le=65535, description="Port to listen on")
    trusted_keys: Path | None = Field(
        None,
        description="Folder of public keys (*.pem), reread when it changes: RolloutChanged and Promoted are believed"
        " only if one of them signed it, and become dead letters otherwise; default: all are believed",
    )
    public_url: str = Field(
        "", description="Public address of this service, used in links to reports; default: http://HOST:PORT"
    )
    label_maturity: PositiveDuration = Field(
        timedelta(days=7),
        description="Age from which on the labels of a window's rows count as complete, while their delay is not known"
        " by measurement; `label_maturity` of a policy takes its place",
    )
    label_retention: PositiveDuration = Field(
        timedelta(days=30), description="How long ground truth without a matching prediction is kept"
    )
    windows_kept: int = Field(
        100, ge=1, description="Judged windows whose rows are kept: of a champion, and of a model with its former ones"
    )
    history_kept: int = Field(2000, ge=1, description="Judged windows per version whose verdicts are kept")
    reports_kept: int = Field(
        100, ge=1, description="HTML reports per version that are kept; reports of emitted drift are kept for ever"
    )
    report_rows: int = Field(
        10_000, ge=200, description="Rows of the reference, and of the window, that a report is rendered from"
    )
    lag: PositiveDuration = Field(
        timedelta(minutes=5),
        description="How far behind the predictions and the ground truth the service may be; if it is further behind"
        " for as long as this, it says so in its log, its metrics and GET /ready",
    )
    sample_when_behind: bool = Field(
        True,
        description="When the service is too far behind, take a share of the requests only, halved until it catches up;"
        " rows of rollouts are always taken",
    )
    report_seconds: float = Field(
        180.0, gt=0, description="Maximum time to draw a report; the process that draws is ended"
    )
    report_memory_mb: int = Field(4096, ge=512, description="Maximum memory of the process that draws reports, in MiB")
    sweep_seconds: float = Field(10.0, gt=0, description="Interval between checks for overdue windows and old rows")

    @model_validator(mode="after")
    def _default_public_url(self) -> Settings:
        if not self.public_url:
            host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
            self.public_url = f"http://{host}:{self.port}"
        self.public_url = self.public_url.rstrip("/")
        return self
