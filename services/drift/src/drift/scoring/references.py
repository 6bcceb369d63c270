"""Reference rows: fetched from MLflow once, checked by digest, cached on disk and in memory."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from pyarrow.lib import ArrowException

from chassis.digests import digest_file
from chassis.errors import Permanent
from chassis.parquet import read_frame
from chassis.registry import Registry
from contracts import Dataset
from drift.scoring.scores import Reference

if TYPE_CHECKING:
    import pandas as pd

ON_DISK, AT_HAND = 20, 2


class References:
    """Reference Parquet files by digest. Thread-safe."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._at_hand: OrderedDict[str, pd.DataFrame] = OrderedDict()
        self._read_columns: OrderedDict[tuple[str, frozenset[str]], Reference] = OrderedDict()
        self._lock = threading.Lock()

    def columns(self, dataset: Dataset, leave_out: frozenset[str] = frozenset()) -> Reference:
        """Return the rows of `dataset` as they are compared, without these columns. Raises as `frame` does."""
        key = (dataset.digest, leave_out)
        with self._lock:
            if key in self._read_columns:
                self._read_columns.move_to_end(key)
                return self._read_columns[key]
        found = Reference.of(self.frame(dataset), leave_out)
        with self._lock:
            self._read_columns[key] = found
            while len(self._read_columns) > AT_HAND:
                self._read_columns.popitem(last=False)
        return found

    def frame(self, dataset: Dataset) -> pd.DataFrame:
        """Return the rows of `dataset`; do not modify them.

        Raises Transient while MLflow is unavailable and the file is not cached, NotFound when MLflow does not have it,
        and Permanent when the digest does not match or the file is not Parquet.
        """
        with self._lock:
            if dataset.digest in self._at_hand:
                self._at_hand.move_to_end(dataset.digest)
                return self._at_hand[dataset.digest]
        frame = self._read(dataset)
        with self._lock:
            self._at_hand[dataset.digest] = frame
            while len(self._at_hand) > AT_HAND:
                self._at_hand.popitem(last=False)
        return frame

    def _read(self, dataset: Dataset) -> pd.DataFrame:
        path = self._folder / f"{dataset.digest.removeprefix('sha256:')}.parquet"
        if not path.exists() or digest_file(path) != dataset.digest:
            self._fetch(dataset, path)
        os.utime(path)
        try:
            return read_frame(path)
        except (ArrowException, ValueError, OSError) as error:
            raise Permanent(f"reference {dataset.uri} is no Parquet file that can be read: {error}") from error

    def _fetch(self, dataset: Dataset, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._folder) as scratch:
            fetched = self._registry.download(dataset.uri, Path(scratch))
            if not fetched.is_file():
                raise Permanent(f"reference {dataset.uri} is a folder; expected one Parquet file")
            found = digest_file(fetched)
            if found != dataset.digest:
                raise Permanent(
                    f"reference {dataset.uri} has digest {found}, but the promotion names {dataset.digest}: "
                    "somebody changed it after the promotion; register the version again"
                )
            fetched.replace(path)
        for old in sorted(self._folder.glob("*.parquet"), key=_used_at, reverse=True)[ON_DISK:]:
            old.unlink(missing_ok=True)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another replica on the same folder was faster
        return 0.0
