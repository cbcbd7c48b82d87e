"""Collects every answer that Microsoft's clients get from Resource Manager, polls included."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from azure.core.pipeline.policies import AsyncHTTPPolicy, HTTPPolicy
from tests.conformance.openapi import Answer


class Recorder:
    """What the policies of some clients have seen."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def policy(self, *, awaited: bool) -> Any:
        """For the pipeline of a client of one kind or the other."""
        return _AsyncPolicy(self) if awaited else _Policy(self)

    def note(self, request: Any, text: str, status: int) -> None:
        url = urlsplit(request.url)
        query = {name.lower(): value for name, value in parse_qsl(url.query)}
        body = json.loads(text) if text else None
        self.answers.append(Answer(request.method, url.path, query.get("api-version", ""), status, body))


class _Policy(HTTPPolicy):  # type: ignore[misc]
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def send(self, request: Any) -> Any:
        response = self.next.send(request)
        answer = response.http_response
        answer.read()
        self._recorder.note(request.http_request, answer.text(), answer.status_code)
        return response


class _AsyncPolicy(AsyncHTTPPolicy):  # type: ignore[misc]
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def send(self, request: Any) -> Any:
        response = await self.next.send(request)
        answer = response.http_response
        # An empty body can be read only once, and the client will want to.
        has_body = int(answer.headers.get("content-length", "0")) > 0
        has_body = has_body and request.http_request.method != "HEAD"
        if has_body:
            await answer.read()
        self._recorder.note(request.http_request, answer.text() if has_body else "", answer.status_code)
        return response
