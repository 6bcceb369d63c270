"""A step that runs: rows are counted when they come, and give their unit a value when their label is mature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from contracts import ArmSums, Mode, OutputFormat, RolloutChanged
from drift.database.records import loads
from drift.policy.losses import Reader
from drift.policy.sums import Sums, with_differences, with_losses, with_predictions
from drift.rollouts import store
from drift.rollouts.rows import Predicted, TrialRow
from drift.rollouts.tables import CHAMPION, TRIED, StepRow


class OpenStep:
    """Adds to the sums of an announced step; call `save` at the end. The model is locked.

    `champion_output`: how the champion's predictions are read. `readable`: False until its promotion, which says it,
    has arrived; rows wait until then.
    """

    def __init__(
        self,
        session: Session,
        row: StepRow,
        champion_output: OutputFormat | None,
        tried_output: OutputFormat | None,
        *,
        readable: bool,
    ) -> None:
        self._session = session
        self.row = row
        self.changed = RolloutChanged.model_validate(row.changed)
        self._split = self.changed.mode is Mode.SPLIT
        self._readable = readable
        self._champion = Reader(champion_output, self.changed.loss)
        self._tried = Reader(tried_output, self.changed.loss)
        self.sums = Sums.model_validate(row.sums) if row.sums is not None else empty(self.changed)

    def count(self, rows: Sequence[TrialRow]) -> int:
        """Count new rows; keep those that wait for a label. Returns how many are of another version, and not counted.

        A replica carries out a rollout only beside its champion, so such rows are of a message that came much too late.
        """
        mine = [row for row in rows if self._is_mine(row)]
        known = store.units(self._session, self.row.key, (row.unit for row in mine))
        bits = dict(known)
        made: dict[int, list[tuple[bool, float | None]]] = {CHAMPION: [], TRIED: []}
        new_units = {CHAMPION: 0, TRIED: 0}
        compared = agreed = 0
        waiting: list[tuple[TrialRow, int | None]] = []
        for row in mine:
            champion, tried = row.of_arms(split=self._split)
            assigned, labelled = (0, 0) if row.unit is None else bits.get(row.unit, (0, 0))
            for arm, predicted in ((CHAMPION, champion), (TRIED, tried)):
                if predicted is None:
                    continue
                made[arm].append((predicted.failed, predicted.latency_ms))
                new_units[arm] += not assigned & arm
                assigned |= arm
            if row.unit is not None:
                bits[row.unit] = (assigned, labelled)
            if _both(champion, tried):
                compared += 1
                agreed += self._champion.agrees(champion.answer, self._tried, tried.answer)  # type: ignore[union-attr]
            arm = row.arm(split=self._split)
            if self.changed.loss is not None and arm and labelled & arm != arm:
                waiting.append((row, arm))
        store.save_units(self._session, self.row.key, known, bits)
        store.save_waiting(self._session, self.row.key, waiting)
        if mine:
            self._set(
                champion=with_predictions(self.sums.champion, made[CHAMPION], new_units[CHAMPION]),
                tried=with_predictions(self.sums.tried, made[TRIED], new_units[TRIED]),
                compared=self.sums.compared + compared,
                agreed=self.sums.agreed + agreed,
            )
        return len(rows) - len(mine)

    def settle(self, now: datetime) -> None:
        """Give units their value: of their first row whose label is there and mature. A value never changes."""
        if self.changed.loss is None or not self._readable:
            return
        while True:
            found = store.due(self._session, self.row.key, self._mature_until(now))
            self._settle(found)
            if len(found) < store.AT_A_TIME:
                return

    def is_due(self, now: datetime) -> bool:
        """Return whether labels are mature that were not counted."""
        if self.changed.loss is None or not self._readable:
            return False
        return store.is_due(self._session, self.row.key, self._mature_until(now))

    def save(self) -> None:
        self.row.sums = self.sums.model_dump(mode="json")

    def waiting(self) -> int:
        return 0 if self.changed.loss is None else self.sums.waiting(split=self._split)

    def _mature_until(self, now: datetime) -> datetime:
        """Labels of predictions that were made until then count."""
        return now - timedelta(seconds=self.changed.label_maturity_seconds)

    def _settle(self, found: Iterable[tuple[TrialRow, int]]) -> None:
        found = list(found)
        known = store.units(self._session, self.row.key, (row.unit for row, _ in found))
        bits = dict(known)
        losses: dict[int, list[float]] = {CHAMPION: [], TRIED: []}
        differences: list[float] = []
        valued: dict[int, set[int]] = {}
        for row, arm in found:
            assigned, labelled = (0, 0) if row.unit is None else bits.get(row.unit, (0, 0))
            if labelled & arm == arm or (values := self._values(row, arm)) is None:
                continue
            for of_arm, loss in values.items():
                losses[of_arm].append(loss)
            if len(values) == len(losses):
                differences.append(values[CHAMPION] - values[TRIED])
            if row.unit is not None:
                bits[row.unit] = (assigned, labelled | arm)
                valued.setdefault(arm, set()).add(row.unit)
        store.save_units(self._session, self.row.key, known, bits)
        store.forget(self._session, self.row.key, [row.key for row, _ in found])
        for arm, with_value in valued.items():
            store.forget_units(self._session, self.row.key, arm, with_value)
        if any(losses.values()):
            self._set(
                champion=with_losses(self.sums.champion, losses[CHAMPION]),
                tried=with_losses(self.sums.tried, losses[TRIED]),
            )
        if differences and self.changed.loss is not None:
            self._set(paired=with_differences(self.sums.paired, differences, self.changed.loss.margin))

    def _values(self, row: TrialRow, arm: int) -> dict[int, float] | None:
        """Return the loss of each arm; None when one of them, or the label, cannot be read."""
        values: dict[int, float] = {}
        for of_arm, reader, predicted in (
            (CHAMPION, self._champion, row.champion),
            (TRIED, self._tried, row.tried),
        ):
            if arm & of_arm:
                loss = None if predicted is None else reader.loss(predicted.answer, loads(row.label or "null"))
                if loss is None:
                    return None
                values[of_arm] = loss
        return values

    def _is_mine(self, row: TrialRow) -> bool:
        champion, tried = row.of_arms(split=self._split)
        return (champion is None or champion.version == self.changed.champion_version) and (
            tried is None or tried.version == self.changed.tried.model_version
        )

    def _set(self, **changes: object) -> None:
        self.sums = self.sums.model_copy(update=changes)
        self.row.unsent = True


def empty(changed: RolloutChanged) -> Sums:
    """Return the sums of a step of which nothing was counted."""
    return Sums(
        champion=ArmSums(model_version=changed.champion_version),
        tried=ArmSums(model_version=changed.tried.model_version),
    )


def _both(champion: Predicted | None, tried: Predicted | None) -> bool:
    return champion is not None and tried is not None and not champion.failed and not tried.failed
