"""The fixture `embedded_kafka`: a real broker for a test session, without Docker. Installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from embedded_kafka import EmbeddedKafka


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixture. Imports are deferred: the package itself does not depend on pytest."""
    import pytest

    class Fixtures:
        @pytest.fixture(scope="session")
        def embedded_kafka(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
            """A broker on a free port (`.bootstrap_servers`), started on first use, stopped at the end."""
            from embedded_kafka import EmbeddedKafka  # no cost for sessions that do not use it

            with EmbeddedKafka(tmp_path_factory.mktemp("embedded-kafka")) as broker:
                yield broker

    config.pluginmanager.register(Fixtures(), "embedded_kafka_fixtures")
