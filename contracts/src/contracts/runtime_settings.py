"""Policy settings of the processes that run a model: the sandbox that judges it, the replicas that serve it."""

from __future__ import annotations

from pydantic import Field

from contracts.section import Section


class Sandbox(Section):
    """Limits of the process in which a candidate's code runs."""

    seconds: float = Field(
        default=120.0, gt=0, description="Time limit of loading and all predictions together, wall clock"
    )
    memory_mb: int = Field(default=4096, ge=256, description="Limit of the address space, MiB")
    disk_mb: int = Field(default=1024, ge=16, description="Limit of the files on disk, MiB")
    processes: bool = Field(
        default=False, description="Whether it may start processes of its own; threads are always allowed"
    )


class Features(Section):
    """A table with the current features of each entity, for clients that send ids instead of rows."""

    table: str = Field(
        pattern=r"^[^\s.]+(\.[^\s.]+)?$", description="Table or view (also schema.table) with one column per feature"
    )
    key: str | None = Field(default=None, min_length=1, description="Column of the ids; default: `entity`")
    url_env: str = Field(
        default="SERVING_FEATURES_URL",
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="Environment variable with the SQLAlchemy URL of the database",
    )


class Serving(Section):
    """How replicas serve this model; a key that is left out has the value of the replica's setting."""

    parity_tolerance: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Largest absolute difference between the scores of the compiled model and of the model; labels are "
        "equal. Default: 1e-6 at the gate, SERVING_PARITY_TOLERANCE in serving",
    )
    prediction_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the requests for which PredictionMade is published; default: SERVING_PREDICTION_SHARE",
    )
