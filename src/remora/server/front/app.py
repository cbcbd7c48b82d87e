"""The front put together. Wiring only, as the endpoint's own `create_app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from remora import __version__
from remora.adapters.starting_note import StartingNotes
from remora.errors import NotReady
from remora.server.access.admission import Admission
from remora.server.access.admitted import Admitted
from remora.server.access.auth import METRICS_PATH, OPEN_PATHS, KeyRequired
from remora.server.access.azure_paths import AzurePaths
from remora.server.access.key_ring import KeyRing
from remora.server.access.limits import HeaderLimit
from remora.server.access.login import login_routes
from remora.server.access.page_guard import PageGuard
from remora.server.access.page_headers import HEADERS
from remora.server.access.sessions import Sessions
from remora.server.front.model import Model
from remora.server.front.passing import STREAM_SECONDS, Passing
from remora.server.front.settings import FrontSettings
from remora.server.front.upstream import Upstream
from remora.server.telemetry.log_lines import log_request
from remora.server.telemetry.request_log import Recorded
from remora.server.wire.problems import install_problem_handlers


def create_front(settings: FrontSettings, keys: KeyRing, admission: Admission) -> FastAPI:
    """One front before one app."""
    upstream = Upstream(settings.upstream)
    model = Model(upstream, StartingNotes(settings.share) if settings.share else None)
    sessions = Sessions(keys, settings.serve.session_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await upstream.close()

    app = FastAPI(title="Remora front", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    install_problem_handlers(app)
    _own_routes(app, model)
    app.include_router(login_routes(keys, sessions))
    app.mount("/", Passing(upstream, model, keys, settings))
    _guard(app, settings, keys, sessions, admission)
    return app


def _own_routes(app: FastAPI, model: Model) -> None:
    """What the front answers itself, for anybody: so nobody without a key wakes the model."""

    @app.get("/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    @app.get("/healthz")
    @app.get("/health")
    @app.get("/ping")
    @app.post("/ping")
    async def alive() -> dict[str, str]:
        return {"status": "alive", "version": __version__}

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        if model.state:
            raise NotReady(model.state)
        return {"status": "ready"}


def _guard(
    app: FastAPI, settings: FrontSettings, keys: KeyRing, sessions: Sessions, admission: Admission
) -> None:
    """The guards of the endpoint itself, in its order: the last one added is the outermost."""
    serve = settings.serve
    timeout_seconds = serve.request_timeout_seconds + STREAM_SECONDS
    app.add_middleware(Admitted, admission=admission, timeout_seconds=timeout_seconds)
    open_paths = OPEN_PATHS if serve.metrics_need_key else OPEN_PATHS | {METRICS_PATH}
    app.add_middleware(KeyRequired, keys=keys, sessions=sessions, open_paths=open_paths)
    app.add_middleware(
        PageGuard, allowed_hosts=serve.allowed_hosts, cors_origins=serve.cors_origins, api_has_keys=True
    )
    if serve.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=serve.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    app.add_middleware(HeaderLimit, max_header_bytes=serve.max_header_bytes)
    app.add_middleware(AzurePaths)
    app.add_middleware(Recorded, headers=HEADERS, sinks=[log_request])
