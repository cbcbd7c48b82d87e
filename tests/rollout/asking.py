"""Somebody who keeps asking an endpoint, as fast as it answers, and notes what comes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

_ANSWER_SECONDS = 300


@dataclass(slots=True)
class Asked:
    """Answers by (digest, text), and everything that is no answer, in words."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@contextmanager
def asking(url: str, api_key: str, prompt: str) -> Iterator[Asked]:
    """Ask the adapter `tone` one request after the other, until the block ends."""
    asked, ended = Asked(), threading.Event()
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "tone", "messages": messages, "temperature": 0, "max_tokens": 8}

    def ask() -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=_ANSWER_SECONDS) as http:
            while not ended.is_set():
                at = f"{datetime.now(UTC):%H:%M:%S.%f}: "
                try:
                    response = http.post("/v1/chat/completions", json=body)
                    if not response.is_success:
                        asked.failures.append(f"{at}{response.status_code} {response.text}")
                        continue
                    answer = response.json()
                    text = answer["choices"][0]["message"]["content"]
                    asked.answers[(str(answer["remora"]["digest"]), text)] += 1
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    asked.failures.append(f"{at}{error!r}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join()
