"""Sums of rollouts in both databases: those of the raw rows, however often and in whichever order they come."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from chassis.errors import Transient
from contracts import Arm, Loss, Mode, Output, OutputFormat, Stage
from contracts.losses import LossKind
from drift.database.tables import VersionRow
from drift.rollouts.store import prune_some
from drift.rollouts.tables import SeenRow, StepRow, UnitRow, WaitingRow
from support.databases import on_sqlite
from support.drift_bench import Bench
from support.drifting import MODEL
from support.rolling_out import (
    BEGAN,
    CHAMPION,
    TRIED,
    UNREADABLE,
    changed,
    differences,
    expected,
    label,
    output,
    random_rows,
    row,
)

HOUR = timedelta(hours=1)
BINARY = OutputFormat(problem="binary")


def random_labels(rows: list[Any], seed: int, *, one_each: bool) -> list[Any]:
    """Labels of most rows, some unreadable, some of an entity; `one_each`: of one row of an entity at most."""
    rng = random.Random(seed)
    found, had = [], set()
    for item in rows:
        entity = item.data.entity_id
        if rng.random() > 0.7 or (one_each and entity in had):
            continue
        value = UNREADABLE if rng.random() < 0.03 else rng.randrange(2)
        had |= {entity} - {None}
        found.append(label(item, value))
    if not one_each:
        last = {item.data.entity_id: item for item in rows if item.data.entity_id}
        found += [label(item, rng.randrange(2), by_entity=True) for name, item in last.items() if name.endswith("7")]
        of_entity = {item.data.entity_id for item in found if item.data.entity_id}
        entities = {(item.data.request_id, item.data.row): item.data.entity_id for item in rows}
        found = [item for item in found if entities.get((item.data.request_id, item.data.row)) not in of_entity]
    return found


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.SPLIT])
@pytest.mark.parametrize("maturity", [0, 3600], ids=["at once", "mature later"])
def test_sums_of_a_random_stream_are_those_of_its_raw_rows(bench: Bench, mode: Mode, maturity: int) -> None:
    event = changed(mode=mode, label_maturity_seconds=maturity)
    rows = random_rows(1500, 1, split=mode is Mode.SPLIT)
    labels = random_labels(rows, 2, one_each=not maturity)
    alone = {item.data.request_id + str(item.data.row) for item in rows if item.data.entity_id is None}
    late = [item for item in labels if f"{item.data.request_id}{item.data.row}" in alone][::3]
    rng = random.Random(3)
    stream = [("rows", item) for item in rows for _ in range(rng.choice((1, 1, 2)))]
    stream += [("labels", item) for item in labels if item not in late for _ in range(rng.choice((1, 1, 2)))]
    rng.shuffle(stream)
    bench.now = BEGAN + HOUR / 2
    announced = False
    for start in range(0, len(stream), 200):
        part = stream[start : start + 200]
        bench.predict([item for kind, item in part if kind == "rows"])
        bench.tell([item for kind, item in part if kind == "labels"])
        if not announced and start >= 600:  # predictions come before their step, and before the promotion
            bench.roll_out(event)
            announced = True
        if start == 1200:
            bench.promote(output=BINARY)
    bench.now = BEGAN + 2 * HOUR
    bench.measurer.once()
    assert differences(bench.sums(), expected(rows, [item for item in labels if item not in late], event)) == {}

    bench.tell(late + late)
    final = expected(rows, labels, event)
    assert final["tried"]["labelled"] > 100
    assert differences(bench.sums(), final) == {}
    bench.predict(rows)
    bench.tell(labels)
    bench.measurer.once()
    assert differences(bench.sums(), final) == {}, "all of it again, from offset zero"
    assert bench.count(WaitingRow, WaitingRow.label.is_not(None)) == 0


@pytest.mark.parametrize("maturity", [0, 3600])
def test_two_replicas_at_once_count_each_row_once(database_url: str, maturity: int) -> None:
    """As during a rebalance, when both handle the same records."""
    event = changed(label_maturity_seconds=maturity)
    rows = random_rows(800, 4, split=False)
    labels = random_labels(rows, 5, one_each=True)
    benches = [Bench(database_url), Bench(database_url)]
    benches[0].promote(output=BINARY)
    benches[0].roll_out(event)
    for bench in benches:
        bench.now = BEGAN + 2 * HOUR

    def work(bench: Bench, seed: int) -> None:
        parts: list[Any] = [partial(bench.predict, rows[start : start + 100]) for start in range(0, 800, 100)]
        parts += [partial(bench.tell, labels[start : start + 100]) for start in range(0, len(labels), 100)]
        random.Random(seed).shuffle(parts)
        for part in parts:
            again(part)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, benches, (1, 2)))
    assert differences(benches[0].sums(), expected(rows, labels, event)) == {}
    for bench in benches:
        bench.database.close()


def again(part: Any) -> None:
    """As the bus does, when the database is busy."""
    while True:
        try:
            return part()
        except Transient:
            continue


@on_sqlite
def test_a_unit_keeps_the_value_of_its_first_mature_row(bench: Bench) -> None:
    bench.promote(output=BINARY)
    bench.roll_out(changed(label_maturity_seconds=60))
    made = [
        row(number, at=at, entity="ann", champion=output(CHAMPION, 1.0), tried=output(TRIED, score))
        for number, (at, score) in enumerate([(0, 0.5), (10, 0.0), (20, 1.0)])
    ]
    bench.now = BEGAN + timedelta(seconds=65)
    bench.predict(made)
    bench.tell([label(made[1], 1)])
    assert bench.sums().tried.labelled == 0, "50 seconds old"
    bench.tell([label(made[0], UNREADABLE)])
    assert bench.sums().tried.labelled == 0, "not 0, not 1: no value"
    bench.now = BEGAN + timedelta(seconds=70)
    bench.measurer.once()
    assert (bench.sums().tried.labelled, bench.sums().tried.loss, bench.sums().waiting) == (1, 1.0, 0)
    bench.tell([label(made[2], 1), label(made[0], 1, times=1)])
    bench.now = BEGAN + HOUR
    bench.measurer.once()
    assert (bench.sums().tried.labelled, bench.sums().tried.loss) == (1, 1.0)
    assert bench.count(WaitingRow) == 0, "rows of a unit that has its value wait for nothing"


@on_sqlite
def test_without_labels_rows_count_for_errors_latency_and_agreement(bench: Bench) -> None:
    event = changed(loss=None)
    bench.promote(output=BINARY)
    bench.roll_out(event)
    rows = random_rows(300, 6, split=False)
    bench.predict(rows)
    bench.tell(random_labels(rows, 7, one_each=False))
    assert differences(bench.sums(), {**expected(rows, [], event), "waiting": 0}) == {}
    assert bench.count(WaitingRow) == 0


@on_sqlite
def test_rows_of_other_versions_are_not_counted(bench: Bench) -> None:
    bench.roll_out(changed())
    bench.predict([row(1, champion=output(7, 0.1), tried=output(TRIED, 0.1))])
    bench.predict([row(2, champion=output(CHAMPION, 0.1), tried=output(7, 0.1))])
    bench.predict([row(3, champion=output(CHAMPION, 0.1), tried=output(TRIED, 0.1))])
    assert (bench.sums().champion.predictions, bench.sums().compared) == (1, 1)


@on_sqlite
def test_labels_wait_until_the_promotion_says_how_the_champion_is_read(bench: Bench) -> None:
    bench.roll_out(changed(loss=Loss(kind=LossKind.ZERO_ONE)))
    made = row(1, champion=Output(model_version=CHAMPION, score=0.9), tried=output(TRIED, 0.1))
    bench.predict([made])
    bench.tell([label(made, 1)])
    assert (bench.sums().champion.labelled, bench.sums().waiting) == (0, 1)
    bench.promote(output=OutputFormat(problem="binary", classes=(1, 0)))
    bench.measurer.once()
    assert (bench.sums().champion.right, bench.sums().tried.right) == (0, 0)
    assert (bench.sums().champion.labelled, bench.sums().waiting) == (1, 0)


def pairs(count: int, *, step: int = 0, first: int = 0, at: float = 0.0) -> list[Any]:
    return [
        row(first + number, at=at, step=step, champion=output(CHAMPION, 0.9), tried=output(TRIED, 0.8))
        for number in range(count)
    ]


def test_a_step_that_ends_is_emitted_once_more_and_takes_no_more_rows(bench: Bench) -> None:
    bench.promote(output=BINARY)
    bench.now = BEGAN
    bench.roll_out(changed())
    bench.predict(pairs(3))
    bench.predict(pairs(2, first=10))
    bench.roll_out(changed(2, step=1))
    bench.predict(pairs(4, first=20) + pairs(5, step=1, first=30))
    bench.roll_out(changed(3, step=1, stage=Stage.ENDED, mode=Mode.OFF))
    bench.predict(pairs(1, step=1, first=50))
    assert [(each.step, each.compared) for each in bench.measured()] == [(0, 3), (0, 5), (1, 5)]
    with bench.database.reading() as session:
        assert {row.state for row in session.query(StepRow)} == {"ended"}
    bench.roll_out(changed(2, step=1))
    bench.roll_out(changed(1))
    bench.predict(pairs(1, first=60))
    assert len(bench.measured()) == 3, "a lower revision changes nothing"


def test_what_told_duplicates_leaves_after_the_end(bench: Bench) -> None:
    bench.promote(output=BINARY)
    bench.roll_out(changed())
    bench.predict(random_rows(500, 8, split=False))
    bench.predict(pairs(2, step=5, first=9000))
    bench.roll_out(changed(2, stage=Stage.ENDED, mode=Mode.OFF))
    ended = bench.sums(step=0)
    with bench.database.transaction() as session:
        long_ago = BEGAN - 2 * HOUR
        session.query(StepRow).update({"ended_at": long_ago, "created_at": long_ago})
    bench.keeper.sweep()
    bench.keeper.sweep()
    assert [bench.count(table) for table in (WaitingRow, SeenRow, UnitRow, StepRow)] == [0, 0, 0, 1]
    bench.predict(random_rows(500, 8, split=False))
    assert bench.sums(step=0).model_copy(update={"measured_at": ended.measured_at}) == ended
    with bench.database.transaction() as session:
        assert not prune_some(session, 12345)


@on_sqlite
def test_at_most_one_emission_a_second_and_one_for_each_change(bench: Bench) -> None:
    bench.promote(output=BINARY)
    bench.now = BEGAN
    bench.roll_out(changed(label_maturity_seconds=5))
    assert bench.measured() == [], "nothing is counted yet"
    made = pairs(40)
    for number in range(40):  # four a second
        bench.now = BEGAN + timedelta(seconds=number / 4)
        bench.predict([made[number]])
        bench.measurer.once()
    times = [each.measured_at for each in bench.measured()]
    assert times == [BEGAN + timedelta(seconds=number) for number in range(10)]
    bench.now = BEGAN + timedelta(seconds=10.9)
    bench.measurer.once()
    bench.measurer.once()
    assert [each.compared for each in bench.measured()][-2:] == [37, 40]
    bench.now = BEGAN + timedelta(seconds=20)
    bench.measurer.once()
    assert len(bench.measured()) == 11, "nothing has changed"
    bench.now = BEGAN + timedelta(seconds=4)
    bench.tell([label(made[0], 1)])
    bench.now = BEGAN + timedelta(seconds=30)
    bench.measurer.once()
    assert bench.measured()[-1].paired.n == 1, "it became mature without a message"


def test_windows_and_totals_hold_what_the_champion_predicted(bench: Bench) -> None:
    bench.promote(output=BINARY)
    bench.roll_out(changed(mode=Mode.SPLIT))
    nothing = Output(model_version=CHAMPION)
    made = [
        row(1, step=None, champion=output(CHAMPION, 0.5)),
        row(2, arm=Arm.CHAMPION, champion=output(CHAMPION, 0.5)),
        row(3, arm=Arm.CHALLENGER, champion=nothing, tried=output(TRIED, 0.5)),
        row(4, arm=Arm.CHALLENGER, champion=output(CHAMPION, 0.5), tried=output(TRIED, None)),
        row(5, arm=Arm.CHAMPION, champion=output(CHAMPION, None)),
        row(6, step=None, champion=output(CHAMPION, None)),
        row(7, step=None, champion=Output(model_version=CHAMPION)),
    ]
    for _ in range(2):
        bench.predict(made + made)
        bench.tell([label(each, 1) for each in made])
    assert bench.windows() == [("shop-v1-w1", "filling", 4, 4)]
    with bench.database.reading() as session:
        version = session.get(VersionRow, (MODEL, CHAMPION))
        assert (version.predicted, version.failed) == (4, 2)


def test_the_history_is_what_the_champion_predicted_before_the_step(bench: Bench) -> None:
    bench.promote(output=BINARY)
    before = [row(number, at=-60, step=None, champion=output(CHAMPION, 0.5)) for number in range(10)]
    failed = [row(number, at=-60, step=None, champion=output(CHAMPION, None)) for number in range(20, 23)]
    bench.predict(before[:6] + failed[:2])
    bench.predict(pairs(5, first=100, at=1))
    bench.roll_out(changed())
    bench.predict(pairs(5, first=200, at=2) + before + failed)
    found = bench.sums()
    assert (found.champion_history, found.champion_history_errors, found.champion.predictions) == (13, 3, 10)


def test_what_cannot_be_carried_out_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="without its quantile"):
        bench.roll_out(changed(loss=Loss(kind=LossKind.PINBALL)))
    with pytest.raises(ValueError, match="NUL"):
        bench.roll_out(changed(reason="\0"))
