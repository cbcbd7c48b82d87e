"""A client of the endpoint's OpenAI-compatible API, for checks, `status` and the terminal chat."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from remora.errors import InvalidApiKey, InvalidInput, ModelNotFound, NotReady, RemoraError
from remora.rollout.recording import Position, positions_of

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 230.0  # just under the 240 s after which Container Apps' ingress cuts a request

_STATUS_ERRORS: Mapping[int, type[RemoraError]] = {
    400: InvalidInput,
    401: InvalidApiKey,
    404: ModelNotFound,
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A completed answer and who gave it. `digest` is empty for the base model.

    `positions` are its tokens, where log-probabilities were asked for.
    """

    model: str
    text: str
    digest: str
    finish_reason: str
    completion_tokens: int
    tokens_per_second: float
    positions: tuple[Position, ...] = ()


class Endpoint:
    """The endpoint at `url` (no trailing slash), with its API key."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Whether `/readyz` says that a request would be answered now."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def models(self) -> list[Json]:
        """What `/v1/models` lists: the base first, then the adapters."""
        return list(self._request("GET", "/v1/models")["data"])

    def roster(self) -> tuple[list[Json], Json]:
        """`models`, and which generation of the aliases the replica that answered has, and what failed."""
        document = self._request("GET", "/v1/models")
        return list(document["data"]), dict(document.get("remora") or {})

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **parameters: object) -> Answer:
        """One whole answer."""
        body = {"model": model, "messages": list(messages), **parameters}
        document = self._request("POST", "/v1/chat/completions", body)
        choice, proof = document["choices"][0], document.get("remora") or {}
        return Answer(
            model=model,
            text=choice["message"]["content"],
            digest=proof.get("digest") or "",
            finish_reason=choice["finish_reason"],
            completion_tokens=document["usage"]["completion_tokens"],
            tokens_per_second=proof.get("tokens_per_second") or 0.0,
            positions=positions_of(choice.get("logprobs")),
        )

    def stream_chat(
        self, model: str, messages: Sequence[Mapping[str, str]], **parameters: object
    ) -> Generator[Json]:
        """The chunks of a streamed answer. Closing the iterator stops the generation."""
        body = {"model": model, "messages": list(messages), "stream": True, **parameters}
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=body) as response:
                if not response.is_success:
                    response.read()
                    raise _problem(response)
                for line in response.iter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield _chunk(line)
        except httpx.HTTPError as error:
            raise NotReady(f"{self.url} broke off: {error}", hint="run: remora status") from error

    def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise NotReady(f"{self.url} does not answer: {error}", hint="run: remora status") from error
        if not response.is_success:
            raise _problem(response)
        try:
            document: Json = response.json()
        except ValueError as error:
            raise NotReady(f"{self.url}{path} answered no JSON", hint="run: remora logs") from error
        return document


def _chunk(line: str) -> Json:
    document: Json = json.loads(line.removeprefix("data: "))
    if "error" in document:
        raise NotReady(str(document["error"].get("message")), hint="run: remora logs")
    return document


def _problem(response: httpx.Response) -> RemoraError:
    """The endpoint's own error, or the ingress's text where no endpoint answered."""
    kind = _STATUS_ERRORS.get(response.status_code, NotReady)
    try:
        error = response.json()["error"]
        return kind(str(error["message"]), hint=str(error.get("hint") or "run: remora status"))
    except (ValueError, KeyError, TypeError):
        text = response.text.strip()[:200]
        return NotReady(f"the endpoint answered {response.status_code}: {text}", hint="run: remora logs")
