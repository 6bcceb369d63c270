"""deploy/observability: what rules and dashboards name exists, and each alert has a test and a section of the docs."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.observability import FOLDER, JOBS, alerts, dashboards, metrics_in, program, queries, recorded, unlimited

REPOSITORY = FOLDER.parents[1]
UNITS = {"short", "percentunit", "reqps", "ops", "s", "bytes"}
"""Those that are used here, of the units in @grafana/data 11."""
TYPES = {"stat", "timeseries", "table", "heatmap"}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, dashboard in dashboards().items()
    for panel in dashboard["panels"]
]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("name", "alert"), [pytest.param(*item, id=item[0]) for item in alerts().items()])
def test_an_alert_says_what_happened_with_the_figures_and_where_it_says_what_to_do(
    name: str, alert: dict[str, Any]
) -> None:
    assert alert["labels"]["severity"] in ("info", "warning", "critical")
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "{{ $" in notes["description"] or name == "GauntletAuditContradicted"  # of which there is one only
    page, anchor = notes["runbook_url"].split("#")
    assert anchor == name.lower() and anchor in anchors(REPOSITORY / page)


def test_every_alert_has_a_test_that_it_fires_and_one_that_it_does_not() -> None:
    found: Counter[tuple[str, bool]] = Counter()
    for file in (FOLDER / "tests").glob("*.yml"):
        for case in yaml.safe_load(file.read_text())["tests"]:
            for rule in case["alert_rule_test"]:
                found[rule["alertname"], bool(rule["exp_alerts"])] += 1
    assert set(found) == {(name, fires) for name in alerts() for fires in (True, False)}


def test_every_metric_that_is_named_is_in_the_reference() -> None:
    reference = (REPOSITORY / "docs/reference/metrics.md").read_text()
    known = set(re.findall(r"^\| `(\w+)` \|", reference, re.M))
    known |= {"process_cpu_seconds_total", "process_resident_memory_bytes"}  # of the client library
    unknown = {where: metrics_in(query) - known for where, query in queries() if metrics_in(query) - known}
    assert not unknown
    texts = [*(rule["expr"] for rule in alerts().values()), *(query for _, query in queries())]
    named = {name for text in texts for name in re.findall(r"\w+:gauntlet_\w+:\w+", text)}
    assert named == recorded(), "each recorded series is used, and there is no other"


def test_the_two_configurations_are_one_but_for_the_addresses() -> None:
    images, local = (yaml.safe_load((FOLDER / name).read_text()) for name in ("prometheus.yml", "prometheus-local.yml"))
    assert [job["job_name"] for job in images["scrape_configs"]] == list(JOBS)
    for job in images["scrape_configs"]:
        assert job.pop("authorization") == {"credentials_file": "/run/secrets/metrics_token"}
        (target,) = job["static_configs"][0]["targets"]
        assert target.split(":")[0] == job["job_name"]
        job["static_configs"][0]["targets"] = [target.replace(job["job_name"], "127.0.0.1")]
    assert images == local


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_is_one_that_grafana_draws(panel: dict[str, Any]) -> None:
    assert panel["type"] in TYPES and panel["title"] and panel["targets"]
    place = panel["gridPos"]
    assert place["w"] > 0 and place["h"] > 0 and place["x"] >= 0 and place["x"] + place["w"] <= 24
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
        assert source == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_dashboards_have_ids_of_their_own_and_no_panel_covers_another() -> None:
    assert len(dashboards()) == 5
    assert len({each["uid"] for each in dashboards().values()}) == 5
    for dashboard in dashboards().values():
        assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for one, other in combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert beside or above, (one, other)


@pytest.mark.parametrize(
    ("expr", "vector"),
    [
        ("up == 0", "up"),
        ("time() - min by (job) (x > 0) > 60", "time() - min by (job) (x)"),
        ('a{b=~"c|d"} > 0\nor sum by (m) (a unless a offset 1h) > 0', 'a{b=~"c|d"}'),
        ("a - on (m) b\n> 0", "a - on (m) b"),
        ("up", "up"),
    ],
)
def test_what_an_alert_looks_at_is_its_expression_before_the_comparison(expr: str, vector: str) -> None:
    assert unlimited(expr) == vector


def test_promtool_accepts_configurations_and_rules_and_every_alert_fires_as_its_test_says() -> None:
    promtool = program("promtool")
    for arguments in (
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "config", "prometheus-local.yml"],
        ["test", "rules", *(f"tests/{file.name}" for file in sorted((FOLDER / "tests").glob("*.yml")))],
    ):
        done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_parses_every_query_of_a_dashboard(tmp_path: Path) -> None:
    found = {f"q:{number}": query for number, (_, query) in enumerate(queries())}
    group = {"name": "queries", "rules": [{"record": name, "expr": query} for name, query in found.items()]}
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [group]}))
    command = [program("promtool"), "check", "rules", str(tmp_path / "queries.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"{len(found)} rules found" in done.stdout, done.stdout + done.stderr
