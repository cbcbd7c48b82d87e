"""The sign-in page: one field, no JavaScript. Owns /login; decides nothing about what a session may do."""

from __future__ import annotations

from html import escape
from string import Template
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from remora.server.access.key_ring import KeyRing
from remora.server.access.sessions import COOKIE, Sessions
from remora.server.wire.page_file import page_file

PAGE = Template(page_file("login.html", css=("card.css",)))


def login_routes(keys: KeyRing, sessions: Sessions) -> APIRouter:
    router = APIRouter()

    @router.get("/login")
    async def show() -> Response:
        return _page()

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        key = keys.find(_key_of(await request.body()))
        if key is None:
            return _page("This key is not valid. Copy it again, without spaces around it.", status_code=401)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            COOKIE,
            sessions.issue(key),
            max_age=sessions.session_seconds,
            httponly=True,
            samesite="strict",
            secure=_is_https(request),
        )
        return answer

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return router


def _page(error: str = "", status_code: int = 200) -> HTMLResponse:
    line = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    return HTMLResponse(PAGE.substitute(error=line), status_code, headers={"cache-control": "no-store"})


def _key_of(form: bytes) -> str:
    fields = parse_qs(form.decode(errors="replace"))
    return fields.get("key", [""])[0].strip()


def _is_https(request: Request) -> bool:
    """An ingress ends TLS before us and says so; a client that lies here only hardens its own cookie."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
