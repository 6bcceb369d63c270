"""An open port is not a broker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from embedded_kafka.probe import answers, free_ports, taken


@contextmanager
def server(reply: bytes) -> Iterator[int]:
    """Accepts one connection and says `reply`, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def test_nobody_listening_does_not_answer() -> None:
    assert not answers(free_ports(1)[0])


def test_a_server_that_speaks_something_else_does_not_answer() -> None:
    with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert not answers(port)


def test_a_server_that_hangs_up_does_not_answer() -> None:
    with server(b"") as port:
        assert not answers(port)


def test_a_server_that_says_nothing_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not answers(listener.getsockname()[1], timeout=0.1)


def test_a_port_in_use_is_taken_and_free_again_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert taken(port)
    assert not taken(port)


def test_free_ports_are_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(taken(port) for port in ports)
