"""The endpoint put together. Wiring only: every line names a part, no line decides anything else."""

from __future__ import annotations

from fastapi import FastAPI

from remora.adapters.registry import AdapterRegistry
from remora.engine.base import Engine
from remora.server.answering import Answerer
from remora.server.auth import KeyRequired, LoopbackOnly
from remora.server.chat import chat_routes
from remora.server.completions import completion_routes
from remora.server.key_ring import KeyRing
from remora.server.limits import BodyLimit
from remora.server.login import login_routes
from remora.server.models import model_routes
from remora.server.ops import ops_routes
from remora.server.page_headers import PageHeaders
from remora.server.problems import install_problem_handlers, unknown_route
from remora.server.request_ids import RequestIds
from remora.server.sessions import Sessions
from remora.server.settings import ServerSettings


def create_app(
    engine: Engine, models: AdapterRegistry, settings: ServerSettings, keys: KeyRing | None = None
) -> FastAPI:
    """One endpoint over one engine. The adapters of `models` must be loaded already.

    `keys` are given by whoever reloads them on a signal; else they are made here, from the settings.
    """
    app = FastAPI(title="Remora", openapi_url=None, docs_url=None, redoc_url=None)
    answerer = Answerer(engine, models, settings.default_max_tokens)
    keys = keys or key_ring(settings)
    sessions = Sessions(keys, settings.session_seconds)

    install_problem_handlers(app)
    app.include_router(chat_routes(answerer, settings))
    app.include_router(completion_routes(answerer, settings))
    app.include_router(model_routes(models, engine))
    app.include_router(ops_routes(engine))
    app.include_router(unknown_route())
    if settings.asks_for_key:
        app.include_router(login_routes(keys, sessions))
    if settings.chat_page:
        from remora.server.ui.page import mount_chat_page

        mount_chat_page(app, answerer)

    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_body_bytes=settings.max_body_bytes)
    if settings.asks_for_key:
        app.add_middleware(KeyRequired, keys=keys, sessions=sessions)
    else:
        app.add_middleware(LoopbackOnly, keys=keys)
    app.add_middleware(PageHeaders)
    app.add_middleware(RequestIds)
    return app


def key_ring(settings: ServerSettings) -> KeyRing:
    """The keys of these settings. Raises InvalidFile where the file of keys is no good."""
    return KeyRing((*settings.admin_keys, *settings.api_keys), settings.api_key_file)
