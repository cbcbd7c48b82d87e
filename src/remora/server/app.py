"""The endpoint put together. Wiring only: every line names a part, no line decides anything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from remora.adapters.examples import Examples
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import Engine
from remora.server.access.admission import Admission
from remora.server.access.admitted import PAGE_CHAT_PATH, Admitted
from remora.server.access.auth import METRICS_PATH, OPEN_PATHS, KeyRequired, LoopbackOnly
from remora.server.access.azure_paths import AzurePaths, DeploymentModel
from remora.server.access.fronted import Fronted
from remora.server.access.key_ring import KeyRing
from remora.server.access.leniency import WARNING_HEADER, Lenient
from remora.server.access.limits import BodyLimit, HeaderLimit
from remora.server.access.login import login_routes
from remora.server.access.page_guard import PageGuard
from remora.server.access.page_headers import HEADERS
from remora.server.access.sessions import Sessions
from remora.server.api.adapter_routes import adapter_routes
from remora.server.api.chat import chat_routes
from remora.server.api.completions import completion_routes
from remora.server.api.health import ops_routes
from remora.server.api.info import info_routes
from remora.server.api.messages.routes import message_routes
from remora.server.api.models import model_routes
from remora.server.api.not_offered import refused_services
from remora.server.api.ollama.models import ollama_model_routes
from remora.server.api.ollama.routes import ollama_routes
from remora.server.api.report import ADAPTER_HEADER, DIGEST_HEADER, FIRST_TOKEN_HEADER, TOOLS_HEADER
from remora.server.api.responses.routes import response_routes
from remora.server.api.responses.store import ResponseStore
from remora.server.api.tokens import token_routes
from remora.server.generation.answer_length import TokenLimits
from remora.server.generation.answering import Answerer
from remora.server.generation.constraints import Constraints
from remora.server.roster.roster import Roster
from remora.server.settings import ServerSettings
from remora.server.supervision import Supervisor
from remora.server.telemetry.answer_watch import AnswerWatch, OpenAnswers
from remora.server.telemetry.metrics import EndpointMetrics, metrics_routes
from remora.server.telemetry.request_log import TIME_HEADER, Recorded, RecordSink
from remora.server.ui.on_demand import ChatPage
from remora.server.ui.side_by_side import side_by_side_routes
from remora.server.ui.token_colours import token_colour_routes
from remora.server.wire.problems import install_problem_handlers, unknown_route

EXPOSED_HEADERS = (
    "x-request-id",
    ADAPTER_HEADER,
    DIGEST_HEADER,
    TOOLS_HEADER,
    FIRST_TOKEN_HEADER,
    TIME_HEADER,
    WARNING_HEADER,
    "retry-after",
    "retry-after-ms",
)


def create_app(
    engine: Engine,
    models: AdapterRegistry,
    settings: ServerSettings,
    keys: KeyRing | None = None,
    *,
    admission: Admission | None = None,
    roster: Roster | None = None,
    base: BaseShape | None = None,
    supervisor: Supervisor | None = None,
    sinks: Sequence[RecordSink] = (),
    examples: Examples = tuple,
) -> FastAPI:
    """One endpoint over one engine. The adapters of `models` must be loaded already.

    The code that reloads keys, drains admission or changes adapters passes `keys`, `admission` or `roster`;
    otherwise they are made here. `base` is what adapters loaded by hand must fit; the tasks of
    `supervisor` run as long as the endpoint; `sinks` are told of every request. The pages offer the
    prompts that `examples` returns.
    """
    supervisor = supervisor or Supervisor()
    constraints = Constraints()
    keys = keys or key_ring(settings)
    admission, answers_open = admission or admission_of(settings, keys), OpenAnswers()
    metrics = EndpointMetrics(engine, admission, models.base_name, answers_open, supervisor)
    roster = roster or Roster(engine, models)
    answerer = _answerer(roster, AnswerWatch(metrics, answers_open), settings)
    sessions = Sessions(keys, settings.session_seconds)
    page = ChatPage(answerer, admission, examples) if settings.chat_page else None
    lifespan = _running(supervisor, page)
    app = FastAPI(title="Remora", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)

    install_problem_handlers(app)
    app.include_router(chat_routes(answerer, constraints, settings))
    app.include_router(completion_routes(answerer, constraints, settings))
    app.include_router(response_routes(answerer, constraints, ResponseStore(), settings))
    app.include_router(message_routes(answerer, constraints, settings))
    if settings.ollama:
        app.include_router(ollama_routes(answerer, constraints))
        app.include_router(ollama_model_routes(models, base, answerer))
    app.include_router(token_routes(answerer))
    app.include_router(refused_services())
    app.include_router(model_routes(roster, base, answerer))
    app.include_router(info_routes(models))
    app.include_router(adapter_routes(roster, keys, settings.adapter_roots, base))
    app.include_router(ops_routes(engine, admission, supervisor))
    app.include_router(metrics_routes(metrics))
    app.include_router(unknown_route())
    if settings.asks_for_key:
        app.include_router(login_routes(keys, sessions))
    if page:
        app.include_router(chat_routes(answerer, constraints, settings, PAGE_CHAT_PATH, shortens=True))
        app.include_router(side_by_side_routes(answerer, examples))
        app.include_router(token_colour_routes(answerer))
        app.mount("/", page)  # after all other routes: it takes every path

    _guard(
        app, settings, keys=keys, sessions=sessions, admission=admission, sinks=[metrics.note_request, *sinks]
    )
    return app


def _answerer(roster: Roster, watch: AnswerWatch, settings: ServerSettings) -> Answerer:
    return Answerer(
        roster.engine,
        roster.models,
        watch,
        TokenLimits(settings.max_prompt_tokens, settings.max_total_tokens, settings.max_answer_tokens),
        most_answers=settings.max_open_requests,
        tools=settings.tools,
        bring=roster.bring,
    )


def key_ring(settings: ServerSettings) -> KeyRing:
    """The keys of these settings. Raises InvalidFile where the file of keys is no good."""
    return KeyRing((*settings.admin_keys, *settings.api_keys), settings.api_key_file)


def admission_of(settings: ServerSettings, keys: KeyRing) -> Admission:
    """The door of these settings; an admin's key is no caller's, so it takes no share of the places."""

    def key_count() -> int:
        return sum(not key.is_admin for key in keys.keys)

    return Admission(settings.max_open_requests, settings.max_requests_per_key, key_count)


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
    app.add_middleware(DeploymentModel)
    if not settings.strict:
        app.add_middleware(Lenient)
    open_paths = OPEN_PATHS if settings.metrics_need_key else OPEN_PATHS | {METRICS_PATH}
    app.add_middleware(
        BodyLimit,
        max_body_bytes=settings.max_body_bytes,
        body_seconds=settings.body_seconds,
        small_paths=open_paths,
    )
    app.add_middleware(Admitted, admission=admission, timeout_seconds=settings.request_timeout_seconds)
    if settings.asks_for_key:
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
    app.add_middleware(AzurePaths)
    app.add_middleware(Fronted, keys=keys)
    app.add_middleware(Recorded, headers=HEADERS, sinks=sinks)


def _running(
    supervisor: Supervisor, page: ChatPage | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan in which their tasks run; they end when the endpoint does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        running = asyncio.create_task(supervisor.run())
        try:
            async with page.running() if page else nullcontext():
                yield
        finally:
            running.cancel()
            await asyncio.wait({running})

    return lifespan
