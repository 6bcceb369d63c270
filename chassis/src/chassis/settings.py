"""Settings: environment variables, read once, a description a field."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024


class KafkaSettings(BaseSettings):
    """How to reach Kafka; the names are Kafka's own."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", alias="KAFKA_BOOTSTRAP_SERVERS", description="host:port of a broker, comma separated"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL", description="How connections to the broker are secured"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", alias="KAFKA_SASL_MECHANISM", description="SASL_* only"
    )
    kafka_sasl_username: str | None = Field(None, alias="KAFKA_SASL_USERNAME", description="SASL_* only")
    kafka_sasl_password: str | None = Field(None, alias="KAFKA_SASL_PASSWORD", description="SASL_* only", repr=False)
    kafka_ssl_cafile: Path | None = Field(None, alias="KAFKA_SSL_CAFILE", description="CA certificates, PEM")
    kafka_ssl_certfile: Path | None = Field(None, alias="KAFKA_SSL_CERTFILE", description="Client certificate, PEM")
    kafka_ssl_keyfile: Path | None = Field(None, alias="KAFKA_SSL_KEYFILE", description="Client key, PEM")
    kafka_replication_factor: int = Field(
        1, ge=1, alias="KAFKA_REPLICATION_FACTOR", description="Of the topics that are created"
    )
    kafka_partitions: int = Field(6, ge=1, alias="KAFKA_PARTITIONS", description="Of the topics that are created")
    topic_prefix: str = Field(
        "", alias="TOPIC_PREFIX", pattern=r"^[A-Za-z0-9._-]*$", description="Put before every topic and group name"
    )


class ServiceSettings(KafkaSettings):
    """What all services share; a service adds its own under its prefix."""

    database_url: str | None = Field(
        None, alias="DATABASE_URL", description="SQLAlchemy URL; default: a SQLite file in DATA_DIR", repr=False
    )
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000", alias="MLFLOW_TRACKING_URI", description="Where models are registered"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="LOG_LEVEL", description="Least severity that is logged"
    )
    log_format: Literal["text", "json"] = Field("text", alias="LOG_FORMAT", description="For people or for machines")
    policies_dir: Path = Field(Path("policies"), alias="POLICIES_DIR", description="One YAML file a model")
    data_dir: Path = Field(Path(".gauntlet"), alias="DATA_DIR", description="Databases, caches and reports")
    max_event_bytes: int = Field(
        MEBIBYTE, ge=1024, alias="MAX_EVENT_BYTES", description="A larger message goes to dead letters"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    def database(self, service: str) -> str:
        """The URL of `service`'s own database; makes the folder of a SQLite file."""
        if self.database_url:
            return self.database_url
        folder = self.data_dir.resolve() / "databases"
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / service}.db"
