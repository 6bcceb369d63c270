"""Settings: environment variables, read once; every field has a description."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.uris import prefixes_of
from contracts.kafka_connection import KafkaConnection

MEBIBYTE = 1024 * 1024


class KafkaSettings(KafkaConnection, BaseSettings):
    """How to reach Kafka; the names are Kafka's own."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)

    kafka_replication_factor: int = Field(
        1, ge=1, alias="KAFKA_REPLICATION_FACTOR", description="Replication factor of the topics that are created"
    )
    kafka_partitions: int = Field(
        6, ge=1, alias="KAFKA_PARTITIONS", description="Partitions of the topics that are created"
    )


class ServiceSettings(KafkaSettings):
    """What all services share; a service adds its own under its prefix."""

    database_url: str | None = Field(
        None,
        alias="DATABASE_URL",
        description="SQLAlchemy URL of the service's database; default: a SQLite file in DATA_DIR",
        repr=False,
    )
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000",
        alias="MLFLOW_TRACKING_URI",
        description="The MLflow server where models are registered",
    )
    allowed_uri_prefixes: str = Field(
        "",
        alias="ALLOWED_URI_PREFIXES",
        description="Stores outside MLflow that events and MLflow's records may name, comma separated:"
        " s3://bucket/team/,file:///data/golden/. What MLflow itself stores is always allowed",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="LOG_LEVEL", description="Lowest severity that is logged"
    )
    log_format: Literal["text", "json"] = Field(
        "text", alias="LOG_FORMAT", description="text for people, json for log processors"
    )
    policies_dir: Path = Field(
        Path("policies"), alias="POLICIES_DIR", description="Folder of policies, one YAML file per model"
    )
    data_dir: Path = Field(Path(".gauntlet"), alias="DATA_DIR", description="Folder for databases, caches and reports")
    max_event_bytes: int = Field(
        MEBIBYTE,
        ge=1024,
        alias="MAX_EVENT_BYTES",
        description="Largest message that is handled; a larger one becomes a dead letter",
    )
    auth: Literal["off", "tokens", "oidc"] = Field(
        "off",
        alias="AUTH",
        description="Authentication of HTTP requests. off: everybody may do everything; only while the service listens "
        "on loopback",
    )
    auth_tokens_file: Path | None = Field(
        None,
        alias="AUTH_TOKENS_FILE",
        description="With AUTH=tokens: file of tokens, written by `gauntlet token`; read again when it changes. "
        "Default: tokens.yaml in DATA_DIR",
    )
    auth_roles_file: Path | None = Field(
        None,
        alias="AUTH_ROLES_FILE",
        description="YAML file of roles by subject and model; read again when it changes. Default: the roles of a "
        "token hold for all models",
    )
    auth_oidc_issuer: str | None = Field(
        None, alias="AUTH_OIDC_ISSUER", description="With AUTH=oidc: URL of the issuer of tokens"
    )
    auth_oidc_audience: str | None = Field(
        None, alias="AUTH_OIDC_AUDIENCE", description="With AUTH=oidc: audience that a token must be for"
    )
    auth_oidc_roles_claim: str = Field(
        "roles",
        alias="AUTH_OIDC_ROLES_CLAIM",
        description="With AUTH=oidc: claim that holds the roles; a dot leads into an object, as in realm_access.roles",
    )
    auth_oidc_subject_claim: str = Field(
        "sub",
        alias="AUTH_OIDC_SUBJECT_CLAIM",
        description="With AUTH=oidc: claim that names who decides; it must be one that people cannot change themselves",
    )
    auth_metrics_open: bool = Field(
        True,
        alias="AUTH_METRICS_OPEN",
        description="Whether /metrics is without authentication; false: it needs the role viewer for all models",
    )
    auth_off_on_any_address: bool = Field(
        False,
        alias="AUTH_OFF_ON_ANY_ADDRESS",
        description="Allow AUTH=off on an address that is not loopback: only where something else keeps strangers "
        "away, such as a container whose ports are published on 127.0.0.1",
    )
    allowed_hosts: str = Field(
        "",
        alias="ALLOWED_HOSTS",
        description="Further names that requests may have in their header Host, comma separated; *.example.com: all "
        "names below; *: any. Loopback names, and the address that a client connects to, are always allowed",
    )
    allowed_origins: str = Field(
        "",
        alias="ALLOWED_ORIGINS",
        description="Origins (https://host:port) of web pages of others that may change something, comma separated",
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _authentication(self) -> Self:
        needed = {"AUTH_OIDC_ISSUER": self.auth_oidc_issuer, "AUTH_OIDC_AUDIENCE": self.auth_oidc_audience}
        missing = [name for name, value in needed.items() if not value]
        if self.auth == "oidc" and missing:
            raise ValueError(f"AUTH={self.auth} needs {' and '.join(missing)}")
        return self

    @field_validator("allowed_uri_prefixes")
    @classmethod
    def _usable(cls, value: str) -> str:
        prefixes_of(value)
        return value

    def database(self, service: str) -> str:
        """Return the URL of `service`'s own database; create the folder of a SQLite file."""
        if self.database_url:
            return self.database_url
        folder = self.data_dir.resolve() / "databases"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return f"sqlite:///{folder / service}.db"
