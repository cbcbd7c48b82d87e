"""Reads server-sent events, for the tests of every streamed route."""

from __future__ import annotations

import json
from typing import Any

import httpx


def chunks_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The JSON of every event of a stream that ended as it should."""
    assert answer.status_code == 200, answer.text
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(each) for each in data[:-1]]
