"""The gatekeeper's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="GATEKEEPER_", env_file=".env", extra="ignore", populate_by_name=True)

    port: int = Field(8010, ge=1, le=65535, description="Port to listen on")
    workers: int = Field(1, ge=1, le=16, description="Candidates of different models that are gated at the same time")
    lease_seconds: float = Field(
        10, gt=0, description="A worker that has not renewed the lease of its job for this long is considered dead"
    )
    timing_seconds: float = Field(
        10, gt=0, description="Time limit for timing one-row predictions; the same again for batches"
    )
    proves_form: bool = Field(
        True, description="Compile each candidate as serving would, compare it with the model, and keep it for serving"
    )
    advisories_dir: Path | None = Field(
        None,
        description="Folder of OSV advisories, as `gauntlet advisories update` fills it; default: advisories in"
        " DATA_DIR. Without any, known vulnerabilities are not checked",
    )
    cache_mb: int = Field(
        5000, ge=1, description="Disk space for artifacts and datasets, MiB; the least recently used are removed first"
    )
    reconcile_seconds: float = Field(
        15, gt=0, description="Interval between comparisons of MLflow with the gatekeeper's database"
    )
    reconcile_grace_seconds: float = Field(
        30, ge=0, description="Minimum age at which the reconciler takes in a version that has no event"
    )
    signing_key: Path | None = Field(
        None, description="File of the private key that signs decisions and audit heads; without it, none is signed"
    )
    trusted_keys: Path | None = Field(
        None,
        description="Folder of public keys (*.pem): only promotions and rollouts that one of them, or the signing key, "
        "has signed are restored from the bus; without it, all are",
    )
    audit_head_seconds: float = Field(
        3600, gt=0, description="Interval at which the audit trail's head is signed and published, if it has changed"
    )
    event_log_days: float = Field(
        90, gt=0, description="Days for which the events of all services are kept for stories and the console"
    )
    drift_url: str = Field("http://127.0.0.1:8020", alias="DRIFT_URL", description="The drift service, for the console")
    serving_url: str = Field("http://127.0.0.1:8001", alias="SERVING_URL", description="A replica, for the console")
    trainer_url: str = Field("http://127.0.0.1:8030", alias="TRAINER_URL", description="The trainer, for the console")
    public_url: str | None = Field(
        None,
        description="Address of the console in people's browsers, for links in messages; default: where it listens",
    )

    notifications_file: Path | None = Field(
        None,
        description="YAML file of who is told what, see docs/how-to/notifications.md; read again when it changes. "
        "Default: notifications.yaml beside POLICIES_DIR, if it is there",
    )
    notification_timeout_seconds: float = Field(
        10,
        gt=0,
        le=300,
        description="A target of notifications that has not replied for this long is tried again later",
    )

    @property
    def notifications_path(self) -> Path:
        """Beside the policies: people write both, and keep them in one repository; DATA_DIR is written by programs."""
        return self.notifications_file or self.policies_dir.absolute().parent / "notifications.yaml"

    @property
    def console_url(self) -> str:
        """Where links in messages lead."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # compared, not bound
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def advisories_folder(self) -> Path:
        return self.advisories_dir or self.data_dir.resolve() / "advisories"
