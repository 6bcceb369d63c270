"""The broker's settings: one node as broker and controller, on loopback, for local work and tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MAX_MESSAGE_BYTES = 8 * 1024 * 1024


def server_properties(log_dir: Path, port: int, controller_port: int, overrides: Mapping[str, str]) -> str:
    """Return the text of server.properties; `overrides` take precedence over every setting here."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "log.dirs": str(log_dir),
        # Topics are created explicitly: one created by a typo would have one partition and no compaction.
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MAX_MESSAGE_BYTES),
        "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
        # The default of 5 ms holds a consumer that commits every message to 140 messages a second; 0 gives 950.
        "group.coordinator.append.linger.ms": "0",
        "group.initial.rebalance.delay.ms": "0",
        # Below the default of 6 s a client may choose how long the group waits for a member that was killed.
        "group.min.session.timeout.ms": "1000",
        # After kill -9 the old incarnation must expire before the new one can join: 2.3 s with these, 11.5 s without.
        "broker.session.timeout.ms": "1000",
        "broker.heartbeat.interval.ms": "300",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "10",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "5",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Compaction works on closed segments only and buffers 128 MB by default; 16 MB is plenty here.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
        **overrides,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
