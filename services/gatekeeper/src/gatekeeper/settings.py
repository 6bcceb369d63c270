"""The gatekeeper's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="GATEKEEPER_", env_file=".env", extra="ignore", populate_by_name=True)

    port: int = Field(8010, ge=1, le=65535, description="Port to listen on")
    workers: int = Field(1, ge=1, le=16, description="Candidates, of different models, that are gated at once")
    lease_seconds: float = Field(
        10, gt=0, description="A worker that has not renewed its job for so long is taken to be dead"
    )
    timing_seconds: float = Field(10, gt=0, description="Longest time to time one-row predictions, and batches as well")
    proves_form: bool = Field(True, description="Find out, for people, the form that a candidate would be served in")
    advisories_dir: Path | None = Field(
        None, description="Folder of OSV advisories; without one, known vulnerabilities are not checked"
    )
    cache_mb: int = Field(5000, ge=1, description="Artifacts and datasets kept on disk; the longest unused go first")
    reconcile_seconds: float = Field(15, gt=0, description="How often MLflow is compared with what is known here")
    reconcile_grace_seconds: float = Field(
        30, ge=0, description="Age from which a version without an event is taken in by the reconciler"
    )
