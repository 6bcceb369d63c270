"""Settings of a serving replica; environment variables, prefix SERVING_."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import MEBIBYTE, ServiceSettings

PORTS = {"production": 8001, "staging": 8000}


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SERVING_", env_file=".env", extra="ignore", populate_by_name=True)

    role: Literal["production", "staging"] = Field(
        "production", description="production follows Promoted, staging follows GatePassed, and Promoted since"
    )
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0: 8001 in production, 8000 in staging")
    trusted_keys: Path | None = Field(
        None,
        description="Folder of public keys (*.pem), reread when it changes: GatePassed, RolloutChanged and Promoted are"
        " believed only if one of them signed it; default: all are believed. See gauntlet keys",
    )
    replica: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=200,
        description="Name of the replica in ModelLoaded; default: the host name",
    )
    workers: int = Field(1, ge=1, le=64, description="Worker processes behind the port; they swap versions together")
    swap_seconds: float = Field(
        10.0, gt=0, description="Longest time that a worker which is ready to swap waits for the others"
    )
    cache_dir: Path | None = Field(
        None, description="Cache of artifacts, by digest; default: DATA_DIR/serving/cache. Replicas may share it"
    )
    cache_max_mb: int = Field(
        10_240, ge=1, description="Size limit of the cache, MiB; the least recently used artifacts are removed first"
    )
    fetch_concurrency: int = Field(4, ge=1, le=64, description="Maximum number of simultaneous downloads")
    load_concurrency: int = Field(
        2, ge=1, le=64, description="Maximum number of models that are loaded or warmed up simultaneously"
    )
    memory_mb: int = Field(
        0,
        ge=0,
        description="Memory budget of a worker's models, MiB; above it, the least recently used are evicted, and "
        "loaded again at the next request. 0: no limit",
    )
    step_seconds: float = Field(
        300.0, gt=0, description="Time limit of a fetch, load or warm-up; after it, the step is retried"
    )
    retry_first_seconds: float = Field(
        0.5, gt=0, description="Delay before the first retry; it doubles with each further one"
    )
    retry_limit_seconds: float = Field(30.0, gt=0, description="Longest delay between two retries")
    preload: list[str] = Field(
        default_factory=lambda: [
            "cloudpickle",
            "skops.io",
            "mlflow.sklearn",
            "sklearn.compose",
            "sklearn.ensemble",
            "sklearn.impute",
            "sklearn.linear_model",
            "sklearn.pipeline",
            "sklearn.preprocessing",
        ],
        description="Modules that are imported before the first model is loaded; add those of your models (JSON list)",
    )
    predict_threads: int = Field(
        1, ge=1, le=64, description="Threads that call models; more than one only if all models are thread-safe"
    )
    max_waiting: int = Field(256, ge=1, description="Requests that may wait for a thread; further ones receive 503")
    request_seconds: float = Field(
        30.0, gt=0, description="Time limit of a request, waiting and computing; after it, 503"
    )
    trial_seconds: float = Field(
        0.5,
        gt=0,
        description="Time that a version which a rollout tries has for rows that it is to answer; ten times what the "
        "champion takes, where that is longer. After it, the champion answers them",
    )
    trial_rows_per_second: float = Field(
        1_000,
        gt=0,
        description="Rows per second of which a rollout is measured, of all workers: in a shadow the tried version "
        "predicts these, in a canary these are published with their arm",
    )
    trial_memory_mb: int = Field(
        1024,
        ge=1,
        description="Memory by which the process of a version that a rollout tries may grow after it is loaded, MiB; "
        "beyond it, the process is ended",
    )
    body_seconds: float = Field(30.0, gt=0, description="Time limit for receiving a body; after it, 408")
    compile: bool = Field(
        True, description="Predict with the compiled model where its predictions are verified to equal the model's"
    )
    parity_tolerance: float = Field(
        1e-6,
        ge=0,
        description="Largest absolute difference between the scores of the compiled model and of the model;"
        " labels are equal",
    )
    batch_rows: int = Field(512, ge=1, description="Maximum rows of a micro-batch, for models that are not compiled")
    max_rows: int = Field(10_000, ge=1, description="Maximum rows of a request")
    max_body_bytes: int = Field(16 * MEBIBYTE, ge=1024, description="Maximum bytes of a request body")
    max_held_bytes: int = Field(
        256 * MEBIBYTE, ge=1024, description="Maximum bytes of all bodies in progress in a worker; beyond it, 503"
    )
    publish_predictions: bool = Field(True, description="Publish PredictionMade for each predicted row")
    prediction_share: float = Field(
        1.0, ge=0, le=1, description="Share of the requests for which PredictionMade is published"
    )
    prediction_rows_per_second: float = Field(
        10_000,
        gt=0,
        description="Maximum rows per second for which PredictionMade is published, of all workers, averaged over ten "
        "seconds. The default is about what one drift service reads",
    )
    prediction_spread: int = Field(
        1,
        ge=1,
        description="Partitions over which the rows of one model are spread, by entity, or by request for rows without"
        " one, so that several drift processes share a model; rows of an entity stay in order",
    )
    prediction_buffer_rows: int = Field(
        50_000,
        ge=1,
        description="Rows buffered while Kafka is slow or unavailable; further ones are dropped and counted",
    )
    feedback_max_items: int = Field(1_000, ge=1, description="Maximum items of a request to /feedback")
    feedback_seconds: float = Field(
        5.0, gt=0, le=300, description="Time limit for Kafka to acknowledge a request to /feedback; after it, 503"
    )
    features_url: str | None = Field(
        None, description="SQLAlchemy URL of the database of feature tables that policies name", repr=False
    )
    features_seconds: float = Field(5.0, gt=0, description="Time limit of a feature query; after it, 503")
    features_threads: int = Field(4, ge=1, le=64, description="Maximum number of simultaneous feature queries")
    features_cache_rows: int = Field(20_000, ge=0, description="Feature rows cached in memory, the most recently used")
    features_cache_seconds: float = Field(60.0, ge=0, description="Time for which a feature row is cached; 0: no cache")
    flush_seconds: float = Field(5.0, ge=0, description="On shutdown, time limit for publishing what is buffered")

    @model_validator(mode="after")
    def _port_of_role(self) -> Self:
        if self.port == 0:
            self.port = PORTS[self.role]
        return self

    @property
    def decisions_file(self) -> Path:
        return self.data_dir.resolve() / "serving" / "decisions.db"

    @property
    def cache_folder(self) -> Path:
        return (self.cache_dir or self.data_dir / "serving" / "cache").resolve()
