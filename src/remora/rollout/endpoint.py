"""A client of the endpoint's OpenAI-compatible API, for checks, `status` and `chat`. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from remora.errors import (
    InvalidApiKey,
    InvalidInput,
    ModelNotFound,
    NotReady,
    RemoraError,
    UnsupportedParameter,
)
from remora.rollout.golden.recorded import Position, positions_of

CONNECT_SECONDS = 30.0  # a machine with much else to do takes many; a closed port answers at once
ANSWER_SECONDS = 230.0  # just under the 240 s after which Container Apps' ingress cuts a request

_STATUS_ERRORS: Mapping[int, type[RemoraError]] = {
    400: InvalidInput,
    401: InvalidApiKey,
    404: ModelNotFound,
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A completed answer, and the model and digest that gave it. `digest` is empty for the base model.

    `positions` are its tokens, if log-probabilities were requested.
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
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(base_url=url, headers=self.headers, timeout=timeout)

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
        """The entries of `/v1/models`: the base first, then the adapters."""
        return self.roster()[0]

    def roster(self) -> tuple[list[Json], Json]:
        """`models`, with the aliases' generation in the replica that answered, and the failed changes."""
        document = self._request("GET", "/v1/models")
        if not isinstance(document, dict) or not isinstance(document.get("data"), list):
            raise NotReady(f"another program answers at {self.url}", hint="run: remora status")
        return list(document["data"]), dict(document.get("remora") or {})

    def model(self, name: str) -> Json:
        """The entry of one model, which may be named with a version. Raises ModelNotFound."""
        return self._request("GET", f"/v1/models/{quote(name, safe='')}")

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **parameters: object) -> Answer:
        """One complete answer."""
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

    def tokens(self, model: str, **asked: object) -> list[int]:
        """The tokens of a `prompt` without special ones, or of `messages`, ready for an answer."""
        plain = {"add_special_tokens": False} if "prompt" in asked else {}
        return [
            int(token)
            for token in self._request("POST", "/tokenize", {"model": model, **asked, **plain})["tokens"]
        ]

    def log_likelihoods(self, model: str, tokens: Sequence[int]) -> list[float]:
        """The log-probability of each token after those before it; the first has none, and gets 0."""
        body = {"model": model, "prompt": list(tokens), "echo": True, "logprobs": 0, "max_tokens": 0}
        scores = self._request("POST", "/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]
        return [0.0 if score is None else float(score) for score in scores]

    def stream_chat(
        self, model: str, messages: Sequence[Mapping[str, str]], **parameters: object
    ) -> Generator[Json]:
        """The chunks of a streamed answer. Closing the iterator stops the generation."""
        body = {"model": model, "messages": list(messages), "stream": True, **parameters}
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=body) as response:
                if not response.is_success:
                    response.read()
                    raise problem_of(response)
                for line in response.iter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield _chunk(line)
        except httpx.HTTPError as error:
            raise NotReady(
                f"{self.url} closed the stream early: {error}", hint="run: remora status"
            ) from error

    def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        response = self._send(method, path, body)
        if not response.is_success:
            raise problem_of(response)
        try:
            document: Json = response.json()
        except ValueError as error:
            raise NotReady(f"the answer of {self.url}{path} is not JSON", hint="run: remora logs") from error
        return document

    def _send(self, method: str, path: str, body: Json | None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise NotReady(f"{self.url} does not answer: {error}", hint="run: remora status") from error


def is_alive(url: str) -> bool:
    """Whether the program at this address answers its health check, which needs no key."""
    try:
        return httpx.get(f"{url}/healthz", timeout=CONNECT_SECONDS).is_success
    except httpx.HTTPError:
        return False


def _chunk(line: str) -> Json:
    document: Json = json.loads(line.removeprefix("data: "))
    if "error" in document:
        raise NotReady(str(document["error"].get("message")), hint="run: remora logs")
    return document


def problem_of(response: httpx.Response) -> RemoraError:
    """The endpoint's own error, or the ingress's text if no endpoint answered."""
    kind = _STATUS_ERRORS.get(response.status_code, NotReady)
    try:
        error = response.json()["error"]
        if error.get("code") == UnsupportedParameter.code:
            kind = UnsupportedParameter
        return kind(str(error["message"]), hint=str(error.get("hint") or "run: remora status"))
    except (ValueError, KeyError, TypeError, AttributeError):
        text = response.text.strip()[:200]
        return NotReady(f"the endpoint answered {response.status_code}: {text}", hint="run: remora logs")
