"""The fixture `embedded_kafka`: a real broker for a test session, without Docker. Installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from embedded_kafka import EmbeddedKafka


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker on a free port (`.bootstrap_servers`), started when first asked for, stopped when the session ends."""
    from embedded_kafka import EmbeddedKafka  # sessions that never ask for it do not pay for the import

    with EmbeddedKafka(tmp_path_factory.mktemp("embedded-kafka")) as broker:
        yield broker
