"""The rows that the features of a version's windows are compared with."""

from __future__ import annotations

from typing import NamedTuple

from contracts import Dataset
from contracts.golden_predictions import OWN
from drift.database.tables import VersionRow


class Basis(NamedTuple):
    """`leave_out`: columns of the file that are no features. `in_words`: what the rows are."""

    dataset: Dataset
    leave_out: frozenset[str]
    in_words: str


def basis_of(version: VersionRow) -> Basis | None:
    """Return the reference of the version, else its golden rows; None where its promotion names neither."""
    if version.reference is not None:
        return Basis(Dataset.model_validate(version.reference), frozenset(), "the reference")
    if version.golden_predictions is not None:
        return Basis(Dataset.model_validate(version.golden_predictions), OWN, "the golden rows")
    return None


def compared_with(version: VersionRow) -> str:
    """Say with what the features are compared; where they are not watched, why, and what to do."""
    basis = basis_of(version)
    if basis is None:
        return f"not watched: {unwatched(version)}"
    if version.reference is None:
        return f"compared with {basis.in_words}: {_no_reference(version)}"
    return f"compared with {basis.in_words}"


def unwatched(version: VersionRow) -> str:
    """Return why nothing is compared, and what to do."""
    name, number = version.model_name, version.model_version
    return (
        f"the promotion of version {number} names neither reference nor golden rows to compare with. Register the next"
        f" version with its training rows: gauntlet register {name} VERSION --reference FILE"
    )


def _no_reference(version: VersionRow) -> str:
    return f"no training rows of version {version.model_version} are known (gauntlet register --reference)"
