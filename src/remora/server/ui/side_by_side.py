"""The page at `/side-by-side`: one message to two or three models at once. Owns its files and its routes.

A plain page of HTML and JavaScript: Gradio redraws a page for one answer at a time. It asks the same code as
`/v1/chat/completions`, by a path that a session opens instead of a key.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import HTMLResponse, JSONResponse

from remora.adapters.adapter import short
from remora.adapters.examples import Examples
from remora.adapters.registry import PREVIOUS
from remora.server.access.admitted import PAGE_CHAT_PATH, PAGE_COLOURS_PATH
from remora.server.generation.answering import Answerer
from remora.server.wire.page_file import page_file

PAGE_PATH = "/side-by-side"
MODELS_PATH = f"{PAGE_PATH}/models"
EXAMPLES_PATH = f"{PAGE_PATH}/examples"
SCRIPTS = ("side_by_side.js", "side_by_side_code.js", "token_colours.js")


def side_by_side_routes(answerer: Answerer, examples: Examples) -> APIRouter:
    """The page, and the models that it offers; its answers come from `chat_routes` at PAGE_CHAT_PATH."""
    router = APIRouter()
    page, models = _page(), answerer.models

    @router.get(PAGE_PATH)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers={"cache-control": "no-store"})

    @router.get(MODELS_PATH)
    async def served() -> JSONResponse:
        current = [{"id": each.name, "digest": short(each.digest)} for each in models.adapters]
        former = [
            {"id": f"{name}@{PREVIOUS}", "digest": short(digest)} for name, digest in models.previous.items()
        ]
        return JSONResponse(
            {
                "models": [{"id": models.base_name, "digest": None}, *current, *former],
                "context_length": answerer.most_total_tokens,
            }
        )

    @router.get(EXAMPLES_PATH)
    async def offered() -> JSONResponse:
        return JSONResponse({"examples": list(await asyncio.to_thread(examples))})

    return router


def _page() -> str:
    text = page_file("side_by_side.html", css=("side_by_side.css",), js=SCRIPTS)
    paths = {
        "CHAT_PATH": PAGE_CHAT_PATH,
        "MODELS_PATH": MODELS_PATH,
        "COLOURS_PATH": PAGE_COLOURS_PATH,
        "EXAMPLES_PATH": EXAMPLES_PATH,
    }
    for name, path in paths.items():
        text = text.replace(name, path)
    return text
