"""Of which entity, and of which time, labelled rows are: those that are alike are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drift.database.window_rows import Answered
from drift.policy.estimates import Floats, Uncertainty, uncertainty


@dataclass(frozen=True)
class Units:
    """`entities`: codes of n rows, -1 for an unknown one; None: no row has one. `order`: in time; None: as they are."""

    entities: NDArray[np.intp] | None
    order: NDArray[np.intp] | None

    @classmethod
    def of(cls, rows: Sequence[Answered]) -> Units:
        """Rows are in order of arrival, which is the order of time where an event time is missing."""
        names = [row.entity for row in rows]
        times = [row.event_time.timestamp() for row in rows if row.event_time is not None]
        return cls(
            entities=None if all(name is None for name in names) else pd.factorize(np.array(names, dtype=object))[0],
            order=np.argsort(np.array(times), kind="stable") if len(times) == len(rows) else None,
        )

    def only(self, chosen: NDArray[np.bool_]) -> Units:
        """Return those of the chosen rows."""
        entities = None if self.entities is None else self.entities[chosen]
        if self.order is None:
            return Units(entities, None)
        place = np.cumsum(chosen) - 1
        return Units(entities, place[self.order[chosen[self.order]]])

    def uncertainty(self, metric: str, truth: Floats, influence: Floats) -> Uncertainty | None:
        return uncertainty(metric, truth, influence, self.entities, self.order)
