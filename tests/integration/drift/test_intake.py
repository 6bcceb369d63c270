"""Rows, labels and windows in both databases: each once, in order, however often and in whichever order they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from contracts import Envelope, GroundTruthReceived, Output, PredictionMade, new_envelope
from drift.database import store, window_rows
from drift.database.records import dumps, loads
from drift.database.tables import ChunkRow, PlaceRow, VersionRow
from support.drift_bench import REFERENCE
from support.drifting import MODEL, customers, predictions, truths


def test_rows_fall_into_windows_in_order_of_arrival(bench):
    bench.promote()
    made = predictions(customers(5000, 1))
    for start in range(0, 5000, 700):
        bench.predict(made[start : start + 700])
    assert bench.windows() == [
        ("shop-v1-w1", "complete", 2000, 0),
        ("shop-v1-w2", "complete", 2000, 0),
        ("shop-v1-w3", "filling", 1000, 0),
    ]
    assert bench.jobs() == [("score", "shop-v1-w1"), ("score", "shop-v1-w2")]
    with bench.database.reading() as session:
        second = store.window_by_id(session, "shop-v1-w2")
    kept = bench.rows()["shop-v1-w2"]
    assert [(row["request"], row["row"]) for row in kept] == [
        (item.data.request_id, item.data.row) for item in made[2000:4000]
    ]
    assert (second.start, second.end) == (made[2000].data.event_time, made[3999].data.event_time)


def test_a_batch_of_several_windows_and_versions_and_models_is_kept_apart(bench):
    bench.promote()
    mixed = [
        item
        for group in zip(
            predictions(customers(4100, 1)),
            predictions(customers(4100, 2), model="other"),
            predictions(customers(4100, 3), version=2),
            strict=True,
        )
        for item in group
    ]
    bench.predict(mixed)
    assert sorted(bench.windows()) == sorted(
        (f"{model}-w{number}", state, rows, 0)
        for model in ("shop-v1", "other-v1", "shop-v2")
        for number, state, rows in ((1, "complete", 2000), (2, "complete", 2000), (3, "filling", 100))
    )
    assert bench.jobs() == [("score", "shop-v1-w1"), ("score", "shop-v1-w2")], "the others have no reference yet"


def test_the_same_rows_again_change_nothing(bench):
    bench.promote()
    made = predictions(customers(2500, 1))
    bench.predict(made + made)
    before = bench.windows(), bench.jobs()
    bench.predict(made)
    bench.predict(list(reversed(made)))
    assert (bench.windows(), bench.jobs()) == before
    assert bench.count(PlaceRow) == 2500


def test_the_promotion_may_come_after_the_rows(bench):
    bench.predict(predictions(customers(2000, 1)))
    assert bench.jobs() == []
    bench.promote()
    bench.promote()
    assert bench.jobs() == [("score", "shop-v1-w1")]


def test_labels_that_come_before_the_promotion_wait_for_its_baseline(bench):
    made = predictions(customers(2000, 1))
    bench.predict(made)
    bench.tell(truths(made))
    assert bench.jobs() == []
    bench.promote()
    assert bench.jobs() == [("score", "shop-v1-w1"), ("performance", "shop-v1-w1")]


@pytest.mark.parametrize("by_entity", [False, True], ids=["by request", "by entity"])
@pytest.mark.parametrize("order", ["before", "after", "between"])
def test_labels_find_their_rows_in_whichever_order_they_come(bench, order, by_entity):
    bench.promote()
    made = predictions(customers(2000, 1), entity=True)
    labels = truths(made, by_entity=by_entity)
    if order == "before":
        bench.tell(labels)
    bench.predict(made[:1000])
    if order == "between":
        bench.tell(labels[:900])
    bench.predict(made[1000:])
    bench.tell(labels)
    bench.tell(labels + labels)
    assert bench.windows() == [("shop-v1-w1", "complete", 2000, 2000)]
    assert bench.jobs().count(("performance", "shop-v1-w1")) == 1
    known = [row for row in bench.rows()["shop-v1-w1"] if row["label"] is not None]
    assert len(known) == 2000 and all(row["answer"] == row["label"] for row in known)


def test_a_label_by_entity_is_of_the_predictions_up_to_it_and_the_first_label_stays(bench):
    now = datetime.now(UTC)

    def made(request: str, hours: float) -> Envelope[PredictionMade]:
        event = PredictionMade(
            model_name=MODEL,
            request_id=request,
            entity_id="ann",
            event_time=now + timedelta(hours=hours),
            features={"age": 1},
            champion=Output(model_version=1, score=0.5),
            latency_ms=1,
        )
        return new_envelope(event, source="serving")

    def label(value: int, hours: float) -> Envelope[GroundTruthReceived]:
        event = GroundTruthReceived(
            model_name=MODEL, entity_id="ann", label=value, event_time=now + timedelta(hours=hours)
        )
        return new_envelope(event, source="test")

    bench.predict([made("early", 1), made("late", 5)])
    bench.tell([label(1, 2)])
    bench.tell([label(0, 6)])
    bench.predict([made("between", 1.5), made("later", 5.5), made("after all", 9)])
    [rows] = bench.rows().values()
    found = {row["request"]: row["label"] for row in rows}
    assert found == {"early": 1, "late": 0, "between": 1, "later": 0, "after all": None}


def test_performance_waits_for_the_label_of_every_row(bench):
    bench.promote()
    made = predictions(customers(2000, 1))
    bench.predict(made)
    bench.tell(truths(made[:1999]))
    assert ("performance", "shop-v1-w1") not in bench.jobs()
    bench.tell(truths(made[1999:]))
    assert ("performance", "shop-v1-w1") in bench.jobs()


def test_another_champion_ends_the_windows_of_the_former_one(bench):
    bench.promote()
    bench.predict(predictions(customers(2300, 1)))
    bench.promote(version=2, epoch=2)
    bench.predict(predictions(customers(500, 2)) + predictions(customers(300, 3), version=2))
    assert [window[:3] for window in bench.windows()] == [
        ("shop-v1-w1", "superseded", 2000),
        ("shop-v1-w2", "superseded", 300),
        ("shop-v2-w1", "filling", 300),
    ]


def test_an_older_promotion_that_arrives_late_changes_no_champion(bench):
    bench.promote(version=2, epoch=2)
    bench.promote(version=1, epoch=1)
    bench.predict(predictions(customers(300, 2)) + predictions(customers(300, 3), version=2))
    assert bench.windows() == [("shop-v2-w1", "filling", 300, 0)]


def test_of_two_promotions_with_one_epoch_the_later_is_in_force(bench):
    """As in every service: it is the one that compaction keeps on the topic."""
    bench.promote(version=1, epoch=2)
    bench.promote(version=2, epoch=2)
    bench.predict(predictions(customers(300, 2)) + predictions(customers(300, 3), version=2))
    assert bench.windows() == [("shop-v2-w1", "filling", 300, 0)]
    bench.promote(version=1, epoch=2)
    bench.predict(predictions(customers(300, 4)))
    assert bench.windows() == [("shop-v2-w1", "superseded", 300, 0), ("shop-v1-w1", "filling", 300, 0)]


def test_a_version_that_is_champion_again_starts_a_new_window_and_forgets_no_old_row(bench):
    first = predictions(customers(2300, 1))
    bench.promote()
    bench.predict(first)
    bench.promote(version=2, epoch=2)
    bench.promote(version=1, epoch=3)
    bench.predict(first)
    bench.predict(predictions(customers(250, 9)))
    assert [window[:3] for window in bench.windows()] == [
        ("shop-v1-w1", "superseded", 2000),
        ("shop-v1-w2", "superseded", 300),
        ("shop-v1-w3", "filling", 250),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "a\0b"},
        {"request_id": "x" * 5000},
        {"entity_id": "\0"},
        {"features": {"a\0": "b\0", "big": 10**30, "none": None, "yes": True}},
        {"features": {}},
        {"event_time": datetime(1, 1, 1, tzinfo=UTC)},
        {"event_time": datetime(9999, 12, 31, 23, 59)},
        {"champion": Output(model_version=1, score=None, label="\0")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_strange_rows_are_kept_and_harm_no_other(bench, change):
    good = predictions(customers(3, 1))
    strange = new_envelope(good[1].data.model_copy(update=change), source="serving")
    for _ in range(2):
        bench.predict([good[0], strange, good[2]])
    assert bench.windows()[0][2] == 3


def test_a_row_that_no_column_holds_is_refused_by_name(bench):
    [envelope] = predictions(customers(1, 1))
    with pytest.raises(ValueError, match="row 2147483648"):
        bench.predict([new_envelope(envelope.data.model_copy(update={"row": 2**31}), source="serving")])


def test_truth_of_nothing_is_refused(bench):
    nameless = GroundTruthReceived(model_name=MODEL, label=1)
    with pytest.raises(ValueError, match="neither request_id nor entity_id"):
        bench.tell([new_envelope(nameless, source="test")])
    unlabelled = GroundTruthReceived(model_name=MODEL, request_id="r", label=None)
    with pytest.raises(ValueError, match="label is null"):
        bench.tell([new_envelope(unlabelled, source="test")])


def test_versions_table_remembers_the_promotion(bench):
    bench.promote(epoch=4, auc=0.8)
    with bench.database.reading() as session:
        version = session.get(VersionRow, (MODEL, 1))
        assert (version.epoch, version.metric, version.baseline) == (4, "roc_auc", {"roc_auc": 0.8})
        assert version.reference["digest"] == REFERENCE.digest


def test_a_trickle_of_rows_leaves_few_chunks_and_all_values_as_they_were(bench):
    """Batches of different columns and types, merged again and again."""
    rng = np.random.default_rng(0)
    kinds = [1, 2.5, "text", True, None, 10**30, 2**60]
    expected = []
    for number in range(300):
        value = kinds[(number // 40) % len(kinds)]
        features = {"one": value, "always": number} | ({"rare": "now"} if number % 97 == 0 else {})
        made = PredictionMade(
            model_name=MODEL,
            request_id=f"request-{number}",
            features=features,
            champion=Output(model_version=1, score=float(rng.random()), label=value),
            latency_ms=1,
        )
        bench.predict([new_envelope(made, source="serving")])
        plain = loads(dumps(value))
        expected.append({"one": plain, "always": number, "rare": features.get("rare"), "answer": plain})
    assert bench.count(ChunkRow) <= 10
    with bench.database.reading() as session:
        window = store.window_by_id(session, "shop-v1-w1")
        frame = window_rows.features(session, window, ["one", "always"])
        rare = window_rows.features(session, window, ["rare"])["rare"]
        answers = window_rows.predicted(session, window).answers
    assert list(frame.columns) == ["one", "always", "rare"]
    assert frame["always"].to_numpy().tolist() == list(range(300))
    assert frame["one"].tolist() == [row["one"] for row in expected]
    assert [type(value) is bool for value in frame["one"]] == [type(row["one"]) is bool for row in expected]
    assert answers.tolist() == [row["answer"] for row in expected]
    assert rare.astype(object).where(rare.notna(), None).tolist() == [row["rare"] for row in expected]


def test_rows_with_thousands_of_names_are_kept_as_they_are(bench):
    made = [
        new_envelope(
            PredictionMade(
                model_name=MODEL,
                request_id=f"request-{number}",
                features={"age": number, f"only-{number}": 1} if number else {"age": 0},
                champion=Output(model_version=1, score=0.5),
                latency_ms=1,
            ),
            source="serving",
        )
        for number in range(1500)
    ]
    bench.predict(made[:3])
    bench.predict(made)
    with bench.database.reading() as session:
        window = store.window_by_id(session, "shop-v1-w1")
        frame = window_rows.features(session, window, ["age", "only-1400", "none"])
    assert frame["age"].tolist() == list(range(1500))
    assert frame["only-1400"].count() == 1 and "none" not in frame
    assert len(frame.columns) == 2 + window_rows.MOST_OTHERS


def test_the_newest_labelled_rows_are_whole(bench):
    bench.promote()
    made = predictions(customers(2500, 1), entity=True)
    bench.predict(made)
    bench.tell(truths(made[1000:2100]))
    with bench.database.reading() as session:
        found = window_rows.newest_labelled(session, MODEL, 1, 300)
        window = store.window_by_id(session, "shop-v1-w1")
        given = window_rows.labelled(session, window)
    assert [row.entity for row in found] == [item.data.entity_id for item in made[1800:2100]]
    assert [row.features for row in found] == [item.data.features for item in made[1800:2100]]
    assert [row.truth for row in found] == [item.data.champion.label for item in made[1800:2100]]
    assert [row.entity for row in given] == [item.data.entity_id for item in made[1000:2000]]
