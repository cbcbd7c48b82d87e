"""Stand-ins for the recorded images. The local cloud pulls none: it runs a container's command as it is.

A request gets the command that behaves as the image does; an answer is read without it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, Final

import httpx

# What the images do: a web server, which says so. It listens where the local cloud tells it to.
SERVING: Final = (
    "import http.server as h, os; print('Listening on :80...', flush=True);"
    "h.SimpleHTTPRequestHandler.log_message = lambda *_: None;"
    "address = ('127.0.0.1', int(os.environ['PORT']));"
    "h.ThreadingHTTPServer(address, h.SimpleHTTPRequestHandler).serve_forever()"
)
IMAGES: Final = ("mcr.microsoft.com/k8se/quickstart:latest", "nginx")


def with_stand_ins(body: Any) -> Any:
    """The request body with a command in each container of a known image that has none."""
    if not isinstance(body, dict):
        return body
    body = copy.deepcopy(body)
    for container in _containers(body):
        if container.get("image") in IMAGES and not container.get("command"):
            container["command"] = ["python3", "-c", SERVING]
    return body


def without_stand_ins(answer: httpx.Response) -> httpx.Response:
    """The answer as it would be without our commands in it."""
    if SERVING[:20] not in answer.text:
        return answer
    body = answer.json()
    for container in _containers(body):
        if container.get("command", [None])[0] == "python3":
            del container["command"]
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return httpx.Response(answer.status_code, headers=headers, content=json.dumps(body))


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "containers" and isinstance(item, list):
                yield from (entry for entry in item if isinstance(entry, dict))
            else:
                yield from _containers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _containers(item)
