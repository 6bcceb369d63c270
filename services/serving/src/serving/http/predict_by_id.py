"""Predict by entity id: features come from the table that the model's policy names, and are cached for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache, TTLCache
from prometheus_client import Counter

from chassis.column_types import TypeMismatch, entity_id
from chassis.errors import Permanent, Transient
from chassis.http import Problem
from chassis.row_reader import InputBatch
from chassis.row_validation import NAMED, Row, RowsRefused, shown
from serving.http.json_bodies import wrong
from serving.inference.batcher import INLINE_ROWS, AdaptiveBatcher
from serving.inference.model import LoadedModel
from serving.loading.executor import LimitedExecutor
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.features.table import FeatureTable

VERSIONS = 256

ROWS = Counter("gauntlet_serving_feature_rows_total", "Rows that predictions by id asked for", ["outcome"])
CACHED, READ, ABSENT = (ROWS.labels(outcome) for outcome in ("cached", "read", "absent"))
FAILED = Counter("gauntlet_serving_feature_failures_total", "Requests whose features could not be read", ["model_name"])


class Features:
    """Used on the event loop only.

    Queries have their own threads, not the batcher's: a database that hangs must not block requests with rows.
    """

    def __init__(self, settings: Settings, batcher: AdaptiveBatcher, sources: Mapping[str, FeatureTable]) -> None:
        """`sources` by model name."""
        self._settings, self._batcher, self._sources = settings, batcher, sources
        self._lane = LimitedExecutor("features", settings.features_threads)
        self._asked = 0
        self._cache: TTLCache[tuple[int, str], Row] = TTLCache(
            settings.features_cache_rows, settings.features_cache_seconds
        )
        self._shapes: dict[Any, int] = {}
        self._shape_of: LRUCache[Any, int] = LRUCache(VERSIONS)

    @property
    def fields(self) -> frozenset[str]:
        """Field names under which a body may have ids, for any model."""
        return frozenset(source.key for source in self._sources.values())

    def ids(self, model_name: str, field: str, value: Any) -> list[str]:
        """Return the ids of a body's field `entities`, or of the one named as the table's key. Raises Problem 422."""
        source = self._sources.get(model_name)
        if source is None:
            raise wrong(field, value, f"rows: no policy says where the features of {model_name!r} are (`features`)")
        if field not in ("entities", source.key):
            raise wrong(field, value, f"entities, or {source.key}")
        given = value if isinstance(value, list) else [value]
        if not given:
            raise wrong(field, value, "at least one id")
        if len(given) > self._settings.max_rows:
            raise wrong(field, value, f"at most {self._settings.max_rows:,} ids a request (SERVING_MAX_ROWS)")
        return [_id(f"{field}[{place}]" if given is value else field, each) for place, each in enumerate(given)]

    async def table(self, model: LoadedModel, ids: list[str]) -> InputBatch:
        """Return the rows of these entities. Raises Problem 404 for unknown ids, 503 when features cannot be read."""
        model_name = model.artifact.model_name
        source = self._sources.get(model_name)  # once: the policy may change meanwhile
        if source is None:
            raise Problem(503, "no features", f"the policy of {model_name!r} names no source of features any more")
        shape = self._shape(model, source)
        rows = {each: row for each in ids if (row := self._cache.get((shape, each))) is not None}
        CACHED.inc(len(rows))
        new = [each for each in dict.fromkeys(ids) if each not in rows]
        try:
            if new:
                rows |= await self._read(model, source, new)
            if absent := [each for each in new if each not in rows]:
                raise _no_such(model_name, source, absent)
            table = await self._fitting(model, source, ids, [rows[each] for each in ids])
        except (Permanent, Transient) as error:
            FAILED.labels(model_name).inc()
            again = {"Retry-After": "2" if isinstance(error, Transient) else "30"}
            raise Problem(503, "no features", str(error), headers=again, model_name=model_name) from error
        if self._cache.maxsize:
            for each in new:
                self._cache[(shape, each)] = rows[each]
        return replace(table, entities=ids)

    async def _read(self, model: LoadedModel, source: FeatureTable, ids: Sequence[str]) -> dict[str, Row]:
        """Read rows from the database. Raises Transient, Permanent."""
        seconds = self._settings.features_seconds
        if self._asked >= self._settings.max_waiting:
            raise Transient(f"{self._asked} requests wait for features (SERVING_MAX_WAITING)")
        self._asked += 1
        try:
            async with asyncio.timeout(seconds):
                found = await self._lane.run(lambda: source.read(ids, model.signature))
        except TimeoutError:
            said = f"the database of table {source.table!r} did not answer within {seconds:g} s"
            raise Transient(f"{said} (SERVING_FEATURES_SECONDS)") from None
        finally:
            self._asked -= 1
        READ.inc(len(found))
        return found

    async def _fitting(
        self, model: LoadedModel, source: FeatureTable, ids: Sequence[str], rows: list[Row]
    ) -> InputBatch:
        """Read the rows as the model's input. Raises Permanent when they do not fit: not the client's fault."""
        try:
            if len(rows) <= INLINE_ROWS:
                return model.reader.read(rows, len(rows))
            return await self._batcher.run(lambda: model.reader.read(rows, len(rows)))
        except RowsRefused as refusal:
            fault = refusal.faults[0]
            where = f"table {source.table!r}, column {fault.field!r}, {source.key} {shown(ids[fault.row or 0])}"
            raise Permanent(f"{where}: {fault.value} does not fit; the model takes {fault.expected}") from None

    def _shape(self, model: LoadedModel, source: FeatureTable) -> int:
        """Return a number shared by all versions with the same columns: a promotion leaves the cache warm."""
        number = self._shape_of.get((model.artifact, source))
        if number is None:
            signature = model.signature
            shape = (model.artifact.model_name, source, signature.columns, signature.event_time)
            number = self._shape_of[model.artifact, source] = self._shapes.setdefault(shape, len(self._shapes))
        return number


def _no_such(model_name: str, source: FeatureTable, absent: Sequence[str]) -> Problem:
    ABSENT.inc(len(absent))
    named = list(absent[:NAMED])
    more = f" (and {len(absent) - NAMED:,} more)" if len(absent) > NAMED else ""
    detail = f"table {source.table!r} has no {source.key} {', '.join(map(shown, named))}{more}"
    return Problem(404, "no such entity", detail, model_name=model_name, missing=named, missing_count=len(absent))


def _id(field: str, value: Any) -> str:
    try:
        return entity_id(value)
    except TypeMismatch as unfit:
        raise wrong(field, value, unfit.expected.removesuffix(", or null for an unknown one")) from None
