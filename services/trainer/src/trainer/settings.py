"""The trainer's settings."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TRAINER_", env_file=".env", extra="ignore", populate_by_name=True)

    port: int = Field(8030, ge=1, le=65535, description="Port to listen on")
    timeout_seconds: float = Field(
        3600, gt=0, description="Time limit of a training; a longer one is stopped and has failed"
    )
    recipe_path: str = Field("", description="Folders of recipes that are not installed, separated as in PATH")
    reference_rows: int = Field(
        10_000, ge=200, description="Maximum number of training rows kept as the reference for drift"
    )
