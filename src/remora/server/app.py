"""The endpoint put together. Wiring only: every line names a part, no line decides anything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from remora.adapters.base_shape import BaseShape
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import Engine
from remora.server.adapters import adapter_routes
from remora.server.admission import Admission
from remora.server.admitted import Admitted
from remora.server.answer_watch import AnswerWatch, OpenAnswers
from remora.server.answering import Answerer, TokenLimits
from remora.server.auth import METRICS_PATH, OPEN_PATHS, KeyRequired, LoopbackOnly
from remora.server.chat import chat_routes
from remora.server.completions import completion_routes
from remora.server.constraints import Constraints
from remora.server.key_ring import KeyRing
from remora.server.limits import BodyLimit, HeaderLimit
from remora.server.login import login_routes
from remora.server.metrics import EndpointMetrics, metrics_routes
from remora.server.models import model_routes
from remora.server.ops import ops_routes
from remora.server.page_guard import PageGuard
from remora.server.page_headers import HEADERS
from remora.server.problems import install_problem_handlers, unknown_route
from remora.server.recording import TIME_HEADER, Recorded, RecordSink
from remora.server.report import ADAPTER_HEADER, DIGEST_HEADER, FIRST_TOKEN_HEADER
from remora.server.response_store import ResponseStore
from remora.server.responses import response_routes
from remora.server.roster import Roster
from remora.server.sessions import Sessions
from remora.server.settings import ServerSettings
from remora.server.tokens import token_routes

EXPOSED_HEADERS = (
    "x-request-id",
    ADAPTER_HEADER,
    DIGEST_HEADER,
    FIRST_TOKEN_HEADER,
    TIME_HEADER,
    "retry-after",
    "retry-after-ms",
)

Watch = Callable[[], Awaitable[None]]


def create_app(
    engine: Engine,
    models: AdapterRegistry,
    settings: ServerSettings,
    keys: KeyRing | None = None,
    *,
    admission: Admission | None = None,
    roster: Roster | None = None,
    base: BaseShape | None = None,
    watches: Sequence[Watch] = (),
    sinks: Sequence[RecordSink] = (),
) -> FastAPI:
    """One endpoint over one engine. The adapters of `models` must be loaded already.

    `keys` and `admission` are given by whoever reloads or drains them, `roster` by whoever changes the
    adapters; else they are made here. `base` is what adapters loaded by hand must fit; `watches` run as long
    as the endpoint; `sinks` are told of every request.
    """
    lifespan = _running(watches)
    app = FastAPI(title="Remora", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    limits = TokenLimits(settings.max_prompt_tokens, settings.max_total_tokens)
    constraints = Constraints(engine.tokenizer)
    keys = keys or key_ring(settings)
    admission, answers_open = admission or admission_of(settings), OpenAnswers()
    metrics = EndpointMetrics(engine, admission, models.base_name, answers_open)
    watch = AnswerWatch(metrics, answers_open)
    answerer = Answerer(engine, models, settings.default_max_tokens, watch, limits)
    roster = roster or Roster(engine, models)
    sessions = Sessions(keys, settings.session_seconds)

    install_problem_handlers(app)
    app.include_router(chat_routes(answerer, constraints, settings))
    app.include_router(completion_routes(answerer, settings))
    app.include_router(response_routes(answerer, constraints, ResponseStore(), settings))
    app.include_router(token_routes(answerer))
    app.include_router(model_routes(roster))
    app.include_router(adapter_routes(roster, keys, settings.adapter_roots, base))
    app.include_router(ops_routes(engine, admission))
    app.include_router(metrics_routes(metrics))
    app.include_router(unknown_route())
    if settings.asks_for_key:
        app.include_router(login_routes(keys, sessions))
    if settings.chat_page:
        from remora.server.ui.page import mount_chat_page

        mount_chat_page(app, answerer, admission)

    _guard(
        app, settings, keys=keys, sessions=sessions, admission=admission, sinks=[metrics.note_request, *sinks]
    )
    return app


def key_ring(settings: ServerSettings) -> KeyRing:
    """The keys of these settings. Raises InvalidFile where the file of keys is no good."""
    return KeyRing((*settings.admin_keys, *settings.api_keys), settings.api_key_file)


def admission_of(settings: ServerSettings) -> Admission:
    return Admission(settings.max_open_requests, settings.max_requests_per_key)


def _guard(
    app: FastAPI,
    settings: ServerSettings,
    *,
    keys: KeyRing,
    sessions: Sessions,
    admission: Admission,
    sinks: Sequence[RecordSink],
) -> None:
    """What a request passes before it reaches a route."""
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes, body_seconds=settings.body_seconds)
    app.add_middleware(Admitted, admission=admission, timeout_seconds=settings.request_timeout_seconds)
    if settings.asks_for_key:
        open_paths = OPEN_PATHS if settings.metrics_need_key else OPEN_PATHS | {METRICS_PATH}
        app.add_middleware(KeyRequired, keys=keys, sessions=sessions, open_paths=open_paths)
    else:
        app.add_middleware(LoopbackOnly, keys=keys)
    app.add_middleware(
        PageGuard,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
        api_has_keys=settings.asks_for_key,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # OpenAI's client in a browser adds many of its own
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(HeaderLimit, max_header_bytes=settings.max_header_bytes)
    app.add_middleware(Recorded, headers=HEADERS, sinks=sinks)


def _running(watches: Sequence[Watch]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan in which these run; they end when the endpoint does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        tasks = [asyncio.ensure_future(watch()) for watch in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan
