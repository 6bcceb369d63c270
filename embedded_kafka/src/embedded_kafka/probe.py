"""Sends a broker one real request (ApiVersions, version 0) over a plain socket: an open port alone proves little."""

from __future__ import annotations

import socket
import struct

API_VERSIONS = 18


def answers(port: int, timeout: float = 1.0) -> bool:
    """Return whether a Kafka broker on loopback port `port` responds to a request."""
    header = struct.pack(">hhih", API_VERSIONS, 0, 1, -1)  # api key, its version, correlation id, no client id
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(struct.pack(">i", len(header)) + header)
            correlation_id, error = struct.unpack(">xxxxih", _read(connection, 10))
    except (OSError, struct.error):
        return False
    return bool(correlation_id == 1 and error == 0)


def taken(port: int) -> bool:
    """Return whether loopback port `port` is in use (a connection in TIME_WAIT does not count)."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def free_ports(count: int) -> list[int]:
    """Return `count` different loopback ports that are currently free."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data
