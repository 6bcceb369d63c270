"""Whether MLflow answers is found out without its library, and trusts what its library would trust."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chassis.errors import GauntletError, Transient
from chassis.registry import Registry, check_mlflow


@pytest.fixture
def answering() -> Iterator[tuple[HTTPServer, list[int]]]:
    status = [200]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, status
    server.shutdown()
    server.server_close()


def test_mlflow_is_there_when_anything_below_500_answers(answering: tuple[HTTPServer, list[int]]) -> None:
    server, status = answering
    uri = f"http://127.0.0.1:{server.server_port}"
    for status[0] in (200, 404, 401):
        check_mlflow(uri)
    status[0] = 503
    with pytest.raises(Transient, match="answers 503"):
        check_mlflow(uri)


def test_mlflow_is_away_when_nothing_answers(answering: tuple[HTTPServer, list[int]]) -> None:
    server, _ = answering
    server.shutdown()
    server.server_close()
    with pytest.raises(Transient, match="does not answer"):
        check_mlflow(f"http://127.0.0.1:{server.server_port}")
    check_mlflow("sqlite:///somewhere.db")  # nothing to ask


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(here, critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def test_a_server_with_a_certificate_of_its_own_is_trusted_as_mlflow_is_told(
    answering: tuple[HTTPServer, list[int]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = answering
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    uri = f"https://127.0.0.1:{server.server_port}"
    with pytest.raises(Transient, match="certificate verify failed"):
        check_mlflow(uri)
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        check_mlflow(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    check_mlflow(uri)


def test_a_registry_that_refuses_the_credentials_is_not_ready(answering: tuple[HTTPServer, list[int]]) -> None:
    import mlflow  # noqa: F401  # from then on more than its health is looked at

    server, status = answering
    status[0] = 401
    with pytest.raises(GauntletError, match=f"MLflow at http://127.0.0.1:{server.server_port}: .*401"):
        Registry(f"http://127.0.0.1:{server.server_port}").check()
