"""Collects the answers of Azure Files: those that Microsoft's client gets, and those that were recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import requests
from azure.core.pipeline.transport import RequestsTransport
from tests.conformance.files_openapi import FilesAnswer
from tests.conformance.recordings import Exchange

LEFT_OUT: Final = "...OMITTED"  # what stands for a body that was too long to keep


TEXTS: Final = ("application/xml", "application/json")


class FilesRecorder:
    """`transport` is for a client of the storage SDK; `answers` are what came over it."""

    def __init__(self, account: str) -> None:
        self.answers: list[FilesAnswer] = []
        self._account = account
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.hooks["response"].append(self._note)
        self.transport = RequestsTransport(session=self._session, session_owner=False)

    def close(self) -> None:
        self._session.close()

    def _note(self, response: Any, **_: Any) -> None:
        request, headers = response.request, _lower(response.headers)
        is_content = request.method == "GET" and headers.get("content-type") not in TEXTS
        url = urlsplit(request.url)
        self.answers.append(
            FilesAnswer(
                method=request.method,
                path=url.path.removeprefix(f"/{self._account}"),
                query=dict(parse_qsl(url.query, keep_blank_values=True)),
                sent=_lower(request.headers),
                status=response.status_code,
                headers=headers,
                body=None if is_content else response.content,  # the client streams a file's content
            )
        )


def recorded_answers(exchanges: Iterable[Exchange]) -> Iterator[FilesAnswer]:
    """What Azure answered, in the same form, where the recording kept the body."""
    for exchange in exchanges:
        if exchange.to_files and not str(exchange.answer_body).startswith(LEFT_OUT):
            yield _recorded(exchange)


def _recorded(exchange: Exchange) -> FilesAnswer:
    headers = _lower(exchange.answer_headers)
    is_content = exchange.method == "GET" and "xml" not in headers.get("content-type", "xml")
    return FilesAnswer(
        method=exchange.method,
        path=exchange.url.path,
        query=dict(parse_qsl(exchange.url.query, keep_blank_values=True)),
        sent=_lower(exchange.headers),
        status=exchange.status,
        headers=headers,
        body=None if is_content else (exchange.answer_body or "").encode(),
    )


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}
