"""The chat page, made when somebody opens it first. Owns when; what it is, is `page`'s.

Most replicas only answer the API; Gradio would make each of them start later and take more memory.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from remora.adapters.examples import Examples
from remora.server.access.admission import Admission
from remora.server.generation.answering import Answerer

PAGE = "remora.server.ui.page"

logger = logging.getLogger(__name__)


class ChatPage:
    """An ASGI application. The first request makes the page, and those that come meanwhile wait for it.

    Enter `running` around its requests: at the end it ends the page.
    """

    def __init__(self, answerer: Answerer, admission: Admission, examples: Examples) -> None:
        self._parts = (answerer, admission, examples)
        self._page: asyncio.Future[ASGIApp] | None = None
        self._serving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._page is None:
            self._page = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._page))
        page = await asyncio.shield(self._page)
        await page(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The page ends with this block."""
        try:
            yield
        finally:
            if self._serving is not None:
                self._serving.cancel()
                await asyncio.wait({self._serving})

    async def _serve(self, page: asyncio.Future[ASGIApp]) -> None:
        """Make the page, and keep what it runs in the background until cancelled."""
        try:
            # In a thread: other requests go on during the import. What it builds belongs to this loop.
            module = await asyncio.to_thread(importlib.import_module, PAGE)
            app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
            module.mount_chat_page(app, *self._parts)
            async with app.router.lifespan_context(app):
                page.set_result(app)
                await asyncio.Event().wait()
        except Exception as error:
            if page.done():
                logger.exception("the chat page's background work ended")
                return
            page.set_exception(error)  # of the requests that wait; the next one tries again
            self._page = None
