"""Pages of windows: the verdict at once, Evidently's drawing when its process has made it, a reason where it cannot."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from chassis.errors import Transient
from contracts import Dataset
from drift.reports.drawer import Drawer, DrawingFailed
from drift.settings import Settings
from support.cli import ok
from support.databases import on_sqlite
from support.drifting import EVIDENTLY, WINDOW, DriftService, customers, predictions, promotion
from support.waiting import eventually

DRAWING = "drift.reports.drawing_process"


def drawing_processes(drift: DriftService) -> list[psutil.Process]:
    """Those that read this service's database."""
    found = []
    for process in psutil.process_iter():
        try:
            if DRAWING in process.cmdline() and process.environ().get("DRIFT_PORT") == str(drift.port):
                found.append(process)
        except psutil.Error:
            continue
    return found


@on_sqlite
def test_a_silent_window_is_drawn_when_its_page_is_opened_and_a_killed_process_costs_only_the_drawing(
    own_drift: DriftService, reference: Dataset
) -> None:
    drift = own_drift
    drift.settings |= {"DRIFT_WINDOWS_KEPT": "2"}
    drift.start_ready()
    drift.publish([promotion(reference=reference), *predictions(customers(2 * WINDOW, 2))])
    drift.window_that(lambda window: window["number"] == 2 and window["state"] == "scored")
    assert not drawing_processes(drift), "a window without drift is drawn for nobody"

    at = ["--drift", f"http://127.0.0.1:{drift.port}"]
    rules = "rule: windows of 400 rows"
    assert rules in (shown := ok("drift", "shop", *at).out), shown
    assert "shop v1 features: no drift" in shown and "shop-v1-w2" in shown
    assert "shop-v1-w2" in ok("drift", *at).out
    detail = ok("drift", "--window", "shop-v1-w1", *at).out
    assert "features: no drift." in detail and "performance: not judged yet" in detail and "jensenshannon" in detail

    page = drift.page("shop-v1-w1")
    assert "The data is as usual." in page and "http-equiv='refresh'" in page and EVIDENTLY not in page
    page = drift.drawn("shop-v1-w1")
    assert "The data is as usual." in page and "http-equiv='refresh'" not in page

    [process] = drawing_processes(drift)
    os.kill(process.pid, signal.SIGKILL)
    drift.drawn("shop-v1-w2")
    [another] = drawing_processes(drift)
    assert another.pid != process.pid
    # Frozen, it neither draws nor ends: windows are judged all the same, and the service ends with all it started.
    os.kill(another.pid, signal.SIGSTOP)
    drift.publish(predictions(customers(3 * WINDOW, 3)))
    drift.window_that(lambda window: window["number"] == 3 and window["state"] == "scored")
    assert "being drawn" in drift.page("shop-v1-w3")
    drift.stop()
    eventually(lambda: not drawing_processes(drift))


def test_the_process_that_draws_ends_when_it_is_idle_and_at_its_deadline(tmp_path: Path) -> None:
    drawer = Drawer(Settings(_env_file=None), f"sqlite:///{tmp_path / 'none.db'}", str(tmp_path))
    with pytest.raises(Transient, match="drift_windows"):
        drawer.draw("shop-v1-w1", None, None)
    drawer.once()
    pid = drawer.pid
    assert pid is not None and psutil.pid_exists(pid), "it waits for the next window"
    os.kill(pid, signal.SIGSTOP)
    stops = threading.Event()
    stops.set()
    with pytest.raises(Transient, match="the service ends"):
        drawer.draw("shop-v1-w1", None, None, stops)
    assert drawer.pid is None
    eventually(lambda: not psutil.pid_exists(pid))
    drawer = Drawer(Settings(_env_file=None, report_seconds=0.2), "sqlite:///", str(tmp_path), idle=timedelta(0))
    drawer._start()
    drawer.once()
    assert drawer.pid is None, "it was idle"
    drawer._start()
    assert drawer.pid is not None
    os.kill(drawer.pid, signal.SIGSTOP)
    with pytest.raises(DrawingFailed, match=r"longer than 0\.2 s"):
        drawer.draw("shop-v1-w1", None, None)
    assert drawer.pid is None
