"""What keeps a version from a verdict, and the line that supplies each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """`what` is missing, in a sentence; `supply`: lines of Python, YAML or shell, of which the first is enough."""

    what: str
    supply: str


@dataclass(frozen=True)
class Shortfalls:
    """What was found of a version. `label`: the label's column, if it is known."""

    model: str
    version: int
    run: bool = True
    signature: bool = True
    training_data: bool = True
    code: bool = True
    golden: bool = True
    golden_problem: str | None = None
    """Why golden rows that are there cannot be used."""
    label: str | None = None
    training_rows: bool = True
    """Whether it is known which rows it was trained on, or the policy does not care."""
    rows_needed: int | None = None
    """Golden rows that the comparison needs, where there are fewer."""
    not_allowed: tuple[str, ...] = ()
    """Names that the model's pickles import, beyond the allow-list."""
    floor_missing_for: str | None = None
    """The metric without a floor, of a model that has no champion."""


def remedies(found: Shortfalls) -> tuple[Remedy, ...]:
    """In the order in which they are best supplied."""
    return tuple(_remedies(found))


def _remedies(found: Shortfalls) -> Iterator[Remedy]:
    label = found.label or "LABEL"
    if not found.run:
        yield Remedy("the run that logged the model", "with mlflow.start_run():\n    mlflow.<flavour>.log_model(…)")
    if not found.signature:
        yield Remedy(
            "the signature: which columns it takes, of which types",
            'mlflow.<flavour>.log_model(model, name="model", input_example=features.head())  # infers it',
        )
    if not found.golden:
        yield Remedy(
            "golden rows: labelled rows that it was not trained on",
            f"gauntlet golden create {found.model} golden.parquet --label {label}\n"
            'golden.to_parquet("evaluation.parquet"); mlflow.log_artifact("evaluation.parquet", "datasets")  # or so',
        )
    elif found.golden_problem is not None:
        yield Remedy(
            f"golden rows that can be used: {found.golden_problem}",
            f"gauntlet try {found.model} {found.version} --golden FILE --label COLUMN",
        )
    if not found.training_data:
        yield Remedy(
            "the digest of its training data",
            f'mlflow.log_input(mlflow.data.from_pandas(train, targets="{label}"), context="training")',
        )
    if not found.code:
        yield Remedy(
            "the version of its training code",
            'mlflow.set_tag("mlflow.source.git.commit", "<commit>")  # MLflow does so itself in a git checkout',
        )
    if not found.training_rows:
        yield Remedy(
            "which rows it was trained on: golden rows among them would flatter it",
            f"gauntlet training-keys train.parquet --label {label}, and in the run:"
            ' mlflow.log_artifact("training_keys.parquet", "datasets")\n'
            "gates: {leakage: {unknown: pass}}        # or so",
        )
    if found.rows_needed is not None:
        yield Remedy(
            f"golden rows: {found.rows_needed:,} are needed to tell the difference that the policy is about",
            f"gauntlet golden create {found.model} more.parquet --label {label}",
        )
    if found.not_allowed:
        names = ", ".join(found.not_allowed)
        yield Remedy(
            "names that its files import, on the allow-list",
            f"gates: {{integrity: {{allow: [{names}]}}}}",
        )
    if found.floor_missing_for is not None:
        yield Remedy(
            "a floor: what the first champion must reach (without one, anything better than a constant may serve)",
            f"gates: {{performance: {{floor: {{{found.floor_missing_for}: VALUE}}}}}}",
        )
