"""The feature tables that the policies name as they are now; imports no SQLAlchemy while none names one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING

from contracts.policy import ModelPolicy
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.features.table import FeatureTable


class FeatureTables(Mapping[str, "FeatureTable"]):
    """By model name; `refresh` after a change of the policies."""

    def __init__(self, policies: Mapping[str, ModelPolicy], settings: Settings) -> None:
        self._policies, self._settings = policies, settings
        self._tables: Mapping[str, FeatureTable] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the policies again. Blocks; a table whose source has not changed stays, with its connections."""
        if not any(policy.features for policy in self._policies.values()):
            self._tables = {}
            return
        from serving.features.sources import sources

        self._tables = sources(self._policies, self._settings, self._tables)

    def __getitem__(self, model_name: str) -> FeatureTable:
        return self._tables[model_name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def values(self) -> ValuesView[FeatureTable]:
        """Return all of one moment: `_tables` is replaced as a whole."""
        return self._tables.values()

    def __len__(self) -> int:
        return len(self._tables)
