"""What drift answers over HTTP: bad requests with what is wrong, and pages that run without access to the service."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from embedded_kafka import EmbeddedKafka
from support.drifting import POLICY, WINDOW, DriftService, customers, predictions, promotion
from support.waiting import eventually


@pytest.fixture(scope="module")
def asked(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriftService]:
    """One service for all bad requests, with a model that has three rows; MLflow is not needed for that."""
    folder = tmp_path_factory.mktemp("asked")
    service = DriftService(
        kafka.bootstrap_servers, f"{folder.name}.", f"sqlite:///{folder / 'drift.db'}", "http://127.0.0.1:9", folder
    )
    service.policy(POLICY)
    service.start_ready()
    service.publish([promotion(), *predictions(customers(3, 2))])
    service.window_that(lambda window: window["rows"] == 3)
    yield service
    service.stop()


@pytest.mark.parametrize(
    ("path", "method", "status", "words"),
    [
        ("/models/nobody/windows", "GET", 404, "nobody"),
        ("/models/nobody", "GET", 404, "nobody"),
        ("/models/nobody/score", "POST", 404, "nobody"),
        ("/models/a%00b/windows", "GET", 404, "no model"),
        ("/models/" + "x" * 5000, "GET", 404, "no model"),
        ("/windows/shop-v1-w99", "GET", 404, "shop-v1-w99"),
        ("/windows/%00", "GET", 404, "no window"),
        ("/reports/shop-v1-w99", "GET", 404, "shop-v1-w99"),
        ("/reports/shop-v1-w1", "GET", 404, "3 of 400 rows"),
        ("/models/shop/windows?limit=0", "GET", 422, "limit"),
        ("/models/shop/windows?limit=many", "GET", 422, "many"),
        ("/models/shop/windows?version=99999999999999999999", "GET", 422, "version"),
        ("/models/shop/score", "GET", 405, "GET"),
        ("/nothing", "GET", 404, "/nothing"),
    ],
)
def test_bad_requests_are_answered_with_what_is_wrong(
    asked: DriftService, path: str, method: str, status: int, words: str
) -> None:
    answered, problem = asked.ask(path, method)
    assert answered == status
    assert problem["status"] == status
    assert words in problem["detail"]


def test_the_report_of_a_window_runs_without_access_to_this_service(asked: DriftService) -> None:
    asked.publish(predictions(customers(WINDOW, 3)))
    eventually(lambda: asked.windows()[0]["data"]["outcome"], timeout=60)
    with urllib.request.urlopen(f"http://127.0.0.1:{asked.port}/reports/shop-v1-w1") as answer:
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert answer.headers["Content-Type"].startswith("text/html")
    metrics = asked.ask("/metrics")[1]
    assert 'drift_predictions_total{fate="kept",model="shop"} 403.0' in metrics
    assert 'drift_verdicts_total{kind="data",model="shop",outcome="Inconclusive"} 1.0' in metrics
