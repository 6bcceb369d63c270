"""A service process: starts parts in order, reports their state over HTTP, shuts down cleanly."""

from __future__ import annotations

import asyncio
import errno
import inspect
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import uvicorn
from fastapi import APIRouter, FastAPI

from chassis import tracing
from chassis.api_pages import add_api_page
from chassis.auth.access import Access, access_of
from chassis.auth.browser import BrowserGuard, allowed_hosts, listed
from chassis.auth.routes import describe_security, require_declarations
from chassis.errors import Permanent, Transient
from chassis.http import answer_with_problems
from chassis.http_protocol import LimitedHttpProtocol
from chassis.kafka_access import Need, needs_of
from chassis.service_routes import START, service_router
from chassis.settings import ServiceSettings
from chassis.telemetry import configure_logging, get_logger
from chassis.topics import ensure_topics

if TYPE_CHECKING:  # serving has no database
    from chassis.database import Database

Check = Callable[[], Awaitable[None] | None]

CHECK_SECONDS = 5.0

log = get_logger(__name__)


class Part(Protocol):
    """A component that a service starts and stops. `start` raises Transient to be retried."""

    name: str

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@runtime_checkable
class Streaming(Protocol):
    """A part whose responses do not end by themselves: a graceful stop would wait for them."""

    def end_streams(self) -> None: ...


class Topics:
    """A Part: creates missing topics and reports misconfigured ones."""

    name = "topics"

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.required: tuple[Need, ...] = ()
        """What all parts of the service need on Kafka: verified before those after this one start."""

    async def start(self) -> None:
        for problem in await asyncio.to_thread(ensure_topics, self._settings, self.required):
            log.error("topic misconfigured", problem=problem)

    async def stop(self) -> None:
        return None


class Schema:
    """A Part: migrates the tables of the chassis and of `package`."""

    name = "database"

    def __init__(self, database: Database, package: str) -> None:
        self._database = database
        self._package = package

    async def start(self) -> None:
        await asyncio.to_thread(self._database.migrate, self._package)

    async def stop(self) -> None:
        self._database.close()


class Startup:
    """Starts parts one after another, retrying while a dependency is unavailable."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._started: list[Part] = []
        self.waiting_for: str | None = "start"

    async def run(self) -> None:
        for part in self._parts:
            attempt = 0
            while True:
                attempt += 1
                try:
                    await part.start()
                    break
                except Transient as error:
                    self.waiting_for = f"{part.name}: {error}"
                    log.warning("waits to start", part=part.name, error=str(error))
                    await asyncio.sleep(min(0.2 * 2 ** min(attempt, 6), 5.0))
            self._started.append(part)
        self.waiting_for = None
        log.info("started", parts=[part.name for part in self._parts])

    async def stop(self) -> None:
        for part in reversed(self._started):
            try:
                await part.stop()
            except Exception:  # one part that cannot stop must not keep the others from stopping
                log.exception("part did not stop cleanly", part=part.name)


def build_app(
    name: str,
    settings: ServiceSettings,
    *,
    parts: Sequence[Part],
    checks: Mapping[str, Check] | None = None,
    routers: Sequence[APIRouter] = (),
    details: Mapping[str, Callable[[], Any]] | None = None,
    entry: Callable[[FastAPI], Any] | None = None,
    accept_when_ready: bool = False,
    access: Access | None = None,
    forms: str | None = None,
) -> FastAPI:
    """Build the service's HTTP app. /health: the process runs. /ready: the parts have started and every check passes.

    `details` are added to the response of /ready, whether it is ready or not. `entry` may wrap the app in another ASGI
    application, which receives every request first. `accept_when_ready`: accept no connection before the service is
    ready, for a process that shares its port with ready ones. `access`: of `access_of(settings)`, for a service that
    needs it before. `forms`: the path below which pages of the service send forms.

    Every route declares its Action (`chassis.auth.routes`); raises TypeError for one that does not, and Permanent for
    settings of authentication that cannot be used.
    """
    access = access or access_of(settings)
    parts = [*access.parts, *parts]
    startup = Startup(parts)
    for part in parts:
        if isinstance(part, Topics):
            part.required = needs_of(parts, settings.topic_prefix)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(startup.run(), name="startup")
        starting.add_done_callback(_end_process_on_error)
        while accept_when_ready and (startup.waiting_for or await _failing(checks or {})):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        yield
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await startup.stop()
        await asyncio.to_thread(tracing.stop)

    app = FastAPI(title=f"Gauntlet {name}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.parts = tuple(parts)
    app.state.access = access
    app.state.failing = lambda: _state(startup, checks or {})
    answer_with_problems(app)
    describe_security(app)
    add_api_page(app)
    shown = {**(details or {}), **({"auth": access.details} if access.details else {})}
    service = service_router(
        name,
        lambda: _state(startup, checks or {}),
        shown,
        checks=tuple(checks or ()),
        data_dir=settings.data_dir,
        metrics_open=settings.auth_metrics_open,
    )
    for router in (service, *routers):
        require_declarations(router)
        app.include_router(router)
    inner = entry(app) if entry is not None else app
    hosts = allowed_hosts(settings.host, settings.allowed_hosts)
    app.state.entry = BrowserGuard(inner, hosts, listed(settings.allowed_origins), forms=forms)
    return app


def run_service(
    name: str, settings: ServiceSettings, build: Callable[[Any], FastAPI], listener: socket.socket | None = None
) -> int:
    """Build and serve until SIGTERM or SIGINT. Returns the exit code; 1 for a port that is taken, and where `build`
    raises Permanent: for settings that cannot be used.

    `listener`: a socket that is bound already.
    """
    problem = tracing.start(name)
    configure_logging(name, settings.log_level, settings.log_format, more=tracing.ids if tracing.is_on() else None)
    if problem:
        log.warning(problem)
    listener = listener or listen(name, settings)
    if listener is None:
        return 1
    try:
        app = build(settings)
    except Permanent as error:
        print(f"{name} does not start: {error}", file=sys.stderr)  # noqa: T201  # for the operator
        return 1
    config = uvicorn.Config(
        app.state.entry,
        http=LimitedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
        lifespan="on",
    )
    server = _Server(config, [part for part in app.state.parts if isinstance(part, Streaming)])
    server.run(sockets=[listener])
    return 1 if _failed_to_start else 0


class _Server(uvicorn.Server):
    """Ends what streams before it waits for the responses that have begun."""

    def __init__(self, config: uvicorn.Config, streaming: Sequence[Streaming]) -> None:
        super().__init__(config)
        self._streaming = streaming

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for part in self._streaming:
            part.end_streams()
        await super().shutdown(sockets)


_failed_to_start: list[BaseException] = []


def listen(name: str, settings: ServiceSettings) -> socket.socket | None:
    """Return a socket bound to the service's address; on failure print the reason to standard error, return None."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        prefix = settings.model_config.get("env_prefix", "")
        what = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        print(  # noqa: T201  # for the operator, before there is a log
            f"{name}: {settings.host}:{settings.port} {what}. Set {prefix}PORT to another port, "
            f"or stop what listens there (`ss -ltnp 'sport = :{settings.port}'`).",
            file=sys.stderr,
        )
        return None
    address = listener.getsockname()[0]
    if settings.auth == "off" and not ipaddress.ip_address(address).is_loopback:
        prefix = settings.model_config.get("env_prefix", "")
        if not settings.auth_off_on_any_address:
            listener.close()
            print(  # noqa: T201
                f"{name}: AUTH=off and {prefix}HOST={settings.host}: everybody who reaches this address could decide"
                f" what is served. Set AUTH=tokens or AUTH=oidc, or {prefix}HOST=127.0.0.1; where something else keeps"
                " strangers away, such as a container whose ports are published on 127.0.0.1,"
                " AUTH_OFF_ON_ANY_ADDRESS=true.",
                file=sys.stderr,
            )
            return None
        log.warning("authentication is off on an address that is not loopback", address=address)
    return listener


async def _state(startup: Startup, checks: Mapping[str, Check]) -> dict[str, str]:
    """Return what is not ready, with the reason."""
    return {START: startup.waiting_for} if startup.waiting_for else await _failing(checks)


async def _failing(checks: Mapping[str, Check]) -> dict[str, str]:
    async def one(check: Check) -> str | None:
        try:
            if inspect.iscoroutinefunction(check):
                await asyncio.wait_for(check(), CHECK_SECONDS)
            else:
                await asyncio.wait_for(asyncio.to_thread(check), CHECK_SECONDS)
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:g} s"
        except Exception as error:  # a check may raise any exception to give its reason
            return str(error) or type(error).__name__
        return None

    results = await asyncio.gather(*(one(check) for check in checks.values()))
    return {name: problem for name, problem in zip(checks, results, strict=True) if problem}


def _end_process_on_error(starting: asyncio.Task[None]) -> None:
    """Log an error that retrying cannot fix and end the process, so that its supervisor notices."""
    if starting.cancelled() or (error := starting.exception()) is None:
        return
    log.critical("cannot start", error=f"{type(error).__name__}: {error}", exc_info=error)
    _failed_to_start.append(error)
    os.kill(os.getpid(), signal.SIGTERM)
