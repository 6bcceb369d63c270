"""Why Kafka does not do what a client wants, in words.

Clients try again and again while a connection fails, and then report a timeout or "unable to bootstrap", whatever it
was: so a wrong password reads as a broker that is away. Here one connection is made, to see which of them it is.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NoBrokersAvailable, NodeNotReadyError

from chassis.errors import Transient
from chassis.kafka import ssl_context
from chassis.settings import KafkaSettings

SECONDS = 5.0
REFUSALS = ("SaslAuthenticationFailed", "UnsupportedSaslMechanismError", "IllegalSaslStateError")
"""Names of aiokafka's errors."""
UNREACHABLE = (KafkaConnectionError, KafkaTimeoutError, NoBrokersAvailable, NodeNotReadyError)
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""A request of Kafka's protocol: size, key, version, correlation id, no client id."""
EXPIRED, OTHER_HOST, OTHER_ADDRESS = 10, 62, 64
"""OpenSSL's X509_V_ERR_*."""
CLIENT_CERTIFICATE = "KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE name the client's certificate"


def require_usable_files(settings: KafkaSettings) -> None:
    """Raise Transient when the certificate files cannot be used: librdkafka would raise at once, and say less."""
    try:
        ssl_context(settings)
    except (OSError, ValueError) as error:
        raise Transient(_unusable_files(settings, error)) from error


async def explain(settings: KafkaSettings, error: Exception | None = None) -> str:
    """Return a sentence about a client that could not connect, or was refused; `error`: what it reported."""
    if refused := await asyncio.to_thread(refusal, settings):
        return refused
    return described(settings, error)


def explained(settings: KafkaSettings, error: Exception | None = None) -> str:
    """Return the same, from a thread that runs no event loop. Blocks for at most a few seconds."""
    return refusal(settings) or described(settings, error)


def described(settings: KafkaSettings, error: Exception | None = None) -> str:
    """Return a sentence about an error of either Python client, without a connection."""
    at = settings.kafka_bootstrap_servers
    kind = type(error).__name__
    if "AuthorizationFailed" in kind:
        of = kind.partition("AuthorizationFailed")[0].lower()
        return (
            f"Kafka at {at} does not allow {principal(settings)} to use the {of}{_about(error)}. `gauntlet acls` prints"
            " what each service needs"
        )
    away = (OSError, TimeoutError, *UNREACHABLE)
    if error is not None and not isinstance(error, away) and kind not in {item.__name__ for item in UNREACHABLE}:
        does = "is not ready" if getattr(error, "retriable", False) else "refuses"
        return f"Kafka at {at} {does}: {kind}{f': {error}' if str(error) else ''}"
    reported = f": {error}" if error else ""
    return (
        f"cannot reach Kafka at {at} ({settings.kafka_security_protocol}){reported}. "
        "Is it running there? Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL and the SASL and SSL settings"
    )


def principal(settings: KafkaSettings) -> str:
    """Return as whom the broker knows a client with these settings."""
    if "SASL" in settings.kafka_security_protocol:
        return f"User:{settings.kafka_sasl_username}"
    if settings.kafka_security_protocol == "SSL" and settings.kafka_ssl_certfile is not None:
        return f"the user of certificate {_subject(settings)}"
    return "User:ANONYMOUS"


def refusal(settings: KafkaSettings) -> str | None:
    """Return the sentence about a user or a certificate that is refused, by the broker or here; None when none is, or
    no broker can be reached. Blocks."""
    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    try:
        context = ssl_context(settings)
    except (OSError, ValueError) as error:
        return _unusable_files(settings, error)
    for server in settings.kafka_bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        host = host.strip("[]")
        try:
            if context is not None and (problem := _tls_problem(settings, context, host, int(port))):
                return problem
            if "SASL" in settings.kafka_security_protocol:
                return asyncio.run(_login_problem(settings, context, host, int(port)))
        except (OSError, ValueError, TimeoutError, KafkaError):
            continue
        return None
    return None


def _tls_problem(settings: KafkaSettings, context: ssl.SSLContext, host: str, port: int) -> str | None:
    """Connect and send a request. With TLS 1.3 a broker refuses a client's certificate after the handshake only."""
    at = f"{host}:{port}"
    with socket.create_connection((host, port), SECONDS) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                secured.sendall(API_VERSIONS)
                secured.recv(4)
        except ssl.SSLCertVerificationError as error:
            return _untrusted(settings, at, error)
        except ssl.SSLError as error:
            return _tls_refused(settings, at, error)
    return None


def _untrusted(settings: KafkaSettings, at: str, error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code == EXPIRED:
        return f"the certificate of Kafka at {at} has expired: the broker needs a new one"
    if code in (OTHER_HOST, OTHER_ADDRESS):
        return (
            f"the certificate of Kafka at {at} is for another host: {error.verify_message}. Connect to a name that it"
            " has (KAFKA_BOOTSTRAP_SERVERS), or set KAFKA_SSL_CHECK_HOSTNAME=false if your network is trusted"
        )
    known = f"those of KAFKA_SSL_CAFILE ({settings.kafka_ssl_cafile})" if settings.kafka_ssl_cafile else "the system's"
    return (
        f"the certificate of Kafka at {at} is not issued by a known authority ({error.verify_message}); known are"
        f" {known}. Set KAFKA_SSL_CAFILE to the authority's certificate"
    )


def _tls_refused(settings: KafkaSettings, at: str, error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer failure" in reason:
        return (
            f"Kafka at {at} does not speak TLS, and KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}:"
            " use the port of its TLS listener, or another protocol"
        )
    if settings.kafka_ssl_certfile is None:
        return f"Kafka at {at} refuses a client without a certificate ({reason}). {CLIENT_CERTIFICATE}"
    why = f"{reason}. Has it expired, or is its authority unknown there?"
    if "expired" in reason or "unknown ca" in reason:
        why = "it has expired." if "expired" in reason else "its authority is unknown there."
    return f"Kafka at {at} refuses certificate {_subject(settings)}: {why} {CLIENT_CERTIFICATE}"


def _unusable_files(settings: KafkaSettings, error: Exception) -> str:
    names = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
    files = ", ".join(f"{name.upper()}={path}" for name in names if (path := getattr(settings, name)))
    hint = "" if settings.kafka_ssl_password else ". If the key is encrypted, set KAFKA_SSL_PASSWORD"
    return f"the certificate files cannot be used ({files}): {error}{hint}"


async def _login_problem(settings: KafkaSettings, context: ssl.SSLContext | None, host: str, port: int) -> str | None:
    try:
        connection = await asyncio.wait_for(
            create_conn(
                host,
                port,
                security_protocol=settings.kafka_security_protocol,
                ssl_context=context,
                sasl_mechanism=settings.kafka_sasl_mechanism,
                sasl_plain_username=settings.kafka_sasl_username,
                sasl_plain_password=settings.kafka_sasl_password,
                request_timeout_ms=int(SECONDS * 1000),
            ),
            SECONDS,
        )
    except KafkaError as error:
        if type(error).__name__ not in REFUSALS:
            raise
        return (
            f"Kafka at {host}:{port} refuses user {settings.kafka_sasl_username!r}"
            f" ({settings.kafka_sasl_mechanism}): authentication failed: {error}. Check KAFKA_SASL_USERNAME,"
            " KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
        )
    connection.close()
    return None


def _about(error: Exception | None) -> str:
    """Return the names that an error carries: aiokafka's of a topic or group, or several of them."""
    names = [
        name for given in (error.args if error else ()) for name in (given if isinstance(given, set) else (given,))
    ]
    return f" {', '.join(sorted(map(repr, names)))}" if names else ""


def _subject(settings: KafkaSettings) -> str:
    from cryptography import x509

    path = settings.kafka_ssl_certfile
    assert path is not None, "asked for by the callers"
    try:
        return f"{x509.load_pem_x509_certificate(path.read_bytes()).subject.rfc4514_string()} ({path})"
    except (OSError, ValueError):
        return str(path)
