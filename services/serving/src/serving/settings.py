"""What can be set of a serving replica; environment variables, prefix SERVING_."""

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
        "production", description="production follows Promoted, staging follows GatePassed"
    )
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0: 8001 in production, 8000 in staging")
    replica: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=200,
        description="Name in ModelLoaded; default: the host's",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes behind the port; they swap versions together")
    swap_seconds: float = Field(10.0, gt=0, description="How long a worker that is ready waits for the others to swap")
    cache_dir: Path | None = Field(
        None, description="Artifacts by digest; default: DATA_DIR/serving/cache. Replicas may share it"
    )
    cache_max_mb: int = Field(10_240, ge=1, description="Above it, the artifacts used longest ago leave the disk")
    fetch_concurrency: int = Field(4, ge=1, le=64, description="Downloads at a time")
    load_concurrency: int = Field(2, ge=1, le=64, description="Models loaded or warmed up at a time")
    memory_mb: int = Field(
        0,
        ge=0,
        description="Memory that the models of a process may take; above it, those asked least recently leave it and "
        "are loaded again when somebody asks. 0: no limit",
    )
    step_seconds: float = Field(300.0, gt=0, description="A fetch, load or warm-up that takes longer is tried again")
    retry_first_seconds: float = Field(0.5, gt=0, description="Wait after the first failure; doubles with each")
    retry_limit_seconds: float = Field(30.0, gt=0, description="Longest wait between two tries")
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
        description="Modules imported before the first model comes; add what your models need (JSON list)",
    )
    predict_threads: int = Field(
        1, ge=1, le=64, description="Requests computed at a time; more than one only for models that are thread-safe"
    )
    max_waiting: int = Field(256, ge=1, description="Requests that may wait for a thread; a further one is told 503")
    request_seconds: float = Field(30.0, gt=0, description="A request that waits or computes longer is told 503")
    body_seconds: float = Field(30.0, gt=0, description="A body that takes longer to arrive is refused with 408")
    compile: bool = Field(True, description="Answer by a compiled form where one is proven to answer alike")
    parity_tolerance: float = Field(
        1e-6, ge=0, description="By how much a compiled form's scores may differ from the model's; labels may not"
    )
    batch_rows: int = Field(
        512, ge=1, description="Rows of several requests that a model which is not compiled is asked together"
    )
    max_rows: int = Field(10_000, ge=1, description="Rows a request")
    max_body_bytes: int = Field(16 * MEBIBYTE, ge=1024, description="Bytes a request")
    max_held_bytes: int = Field(
        256 * MEBIBYTE, ge=1024, description="Bytes of all bodies being received or answered; beyond, told 503"
    )
    publish_predictions: bool = Field(True, description="Emit PredictionMade for every row")
    prediction_share: float = Field(1.0, ge=0, le=1, description="Share of the requests for which it is emitted")
    prediction_rows_per_second: float = Field(
        10_000,
        gt=0,
        description="Rows a second for which it is emitted, of all workers, over ten seconds; beyond it, it is not. "
        "About what one drift service reads",
    )
    prediction_buffer_rows: int = Field(
        50_000, ge=1, description="Rows kept while Kafka is slow or away; further ones are dropped and counted"
    )
    feedback_max_items: int = Field(1_000, ge=1, description="Items of ground truth a request to /feedback")
    feedback_seconds: float = Field(
        5.0, gt=0, le=300, description="/feedback that Kafka has not acknowledged by then is told 503"
    )
    features_url: str | None = Field(
        None, description="SQLAlchemy URL of the database with the policies' feature tables", repr=False
    )
    features_seconds: float = Field(5.0, gt=0, description="A query of features that takes longer is told 503")
    features_threads: int = Field(4, ge=1, le=64, description="Queries of features at a time")
    features_cache_rows: int = Field(20_000, ge=0, description="Rows of features kept in memory, the last used ones")
    features_cache_seconds: float = Field(60.0, ge=0, description="How long they are kept; 0: not at all")
    flush_seconds: float = Field(5.0, ge=0, description="On stop, time for what is buffered to reach Kafka")

    @model_validator(mode="after")
    def _port_of_role(self) -> Self:
        if self.port == 0:
            self.port = PORTS[self.role]
        return self

    @property
    def cache_folder(self) -> Path:
        return (self.cache_dir or self.data_dir / "serving" / "cache").resolve()
