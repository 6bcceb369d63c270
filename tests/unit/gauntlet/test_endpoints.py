"""Where the stack is: an option, then a variable, then `.env`, then the running stack, then the default ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from gauntlet import endpoints
from gauntlet.errors import CliError
from gauntlet.stack_file import KafkaState, MlflowState, PartState, StackState, write_stack

HERE = Path("data")


@pytest.fixture
def stack() -> None:
    HERE.mkdir()
    write_stack(
        StackState(
            data_dir=HERE,
            supervisor=PartState(name="supervisor", url=""),
            kafka=KafkaState(bootstrap_servers="127.0.0.1:19092", topic_prefix="mine."),
            mlflow=MlflowState(tracking_uri="http://127.0.0.1:15000"),
            parts=(PartState(name="gatekeeper", url="http://127.0.0.1:18010"),),
        )
    )


def test_without_anything_the_default_ports_are_tried() -> None:
    assert endpoints.service("gatekeeper", HERE, None).at == "http://127.0.0.1:8010"
    assert endpoints.kafka(HERE, None)[1].at == "127.0.0.1:9092"
    assert endpoints.mlflow(HERE, None).at == "http://127.0.0.1:5000"


@pytest.mark.usefixtures("stack")
def test_a_running_stack_says_where_it_is() -> None:
    assert endpoints.service("gatekeeper", HERE, None).at == "http://127.0.0.1:18010"
    settings, address = endpoints.kafka(HERE, None)
    assert address.at == settings.kafka_bootstrap_servers == "127.0.0.1:19092"
    assert settings.topic_prefix == "mine."
    assert endpoints.mlflow(HERE, None).at == "http://127.0.0.1:15000"


@pytest.mark.usefixtures("stack")
def test_a_variable_wins_over_the_stack_and_an_option_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEKEEPER_URL", "http://variable:1/")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "variable:2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://variable:3")
    assert endpoints.service("gatekeeper", HERE, None).at == "http://variable:1"
    assert endpoints.kafka(HERE, None)[0].kafka_bootstrap_servers == "variable:2"
    assert endpoints.mlflow(HERE, None).at == "http://variable:3"
    assert endpoints.service("gatekeeper", HERE, "http://option:1").at == "http://option:1"
    assert endpoints.kafka(HERE, "option:2")[0].kafka_bootstrap_servers == "option:2"
    assert endpoints.mlflow(HERE, "http://option:3").at == "http://option:3"


@pytest.mark.usefixtures("stack")
def test_the_file_of_settings_wins_over_the_stack() -> None:
    Path(".env").write_text("KAFKA_BOOTSTRAP_SERVERS=file:2\nMLFLOW_TRACKING_URI=http://file:3\n")
    settings, _ = endpoints.kafka(HERE, None)
    assert settings.kafka_bootstrap_servers == "file:2"
    assert settings.topic_prefix == "mine."
    assert endpoints.mlflow(HERE, None).at == "http://file:3"


def test_services_started_here_may_read_files_of_this_project_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = tmp_path / "my project #1"
    assert endpoints.uri_prefixes() == Path.cwd().as_uri()
    project.mkdir()
    monkeypatch.chdir(project)
    assert endpoints.uri_prefixes() == "", "no URI can be compared with such a name"
    for home in (tmp_path, tmp_path / "me"):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(home))
        assert endpoints.uri_prefixes() == "", "the home folder, or one above it, is no project"
    for said in ("s3://bucket/team/", ""):
        monkeypatch.setenv("ALLOWED_URI_PREFIXES", said)
        assert endpoints.uri_prefixes() == said


@pytest.mark.parametrize(
    ("named", "running", "said", "hint"),
    [
        (True, True, "the gatekeeper at http://g does not answer: refused", "--gatekeeper or GATEKEEPER_URL"),
        (False, True, "the gatekeeper at http://g does not answer: refused", "gauntlet status --data-dir data"),
        (False, False, "no stack is running in data: start one with `gauntlet up`", "http://g"),
    ],
)
def test_silence_is_explained_by_how_the_address_was_found(named: bool, running: bool, said: str, hint: str) -> None:
    error = endpoints.Address("gatekeeper", "http://g", HERE, named, running).silent("refused")
    assert isinstance(error, CliError)
    assert error.message == said
    assert hint in (error.hint or "")
