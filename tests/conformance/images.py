"""Stand-ins for the recorded images. The local cloud pulls none: it runs a container's command as it is.

A request gets the command that behaves as the image does; an answer is read without it. A stand-in gets ready
and ends when the recording shows that its image did: how long a pull or an end takes is of the occasion.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx
from tests.conformance.recordings import Exchange

# What the images do: a web server, which says so. It listens where the local cloud tells it to. Its first
# question is asked when it handles SIGTERM: until then it would end before the recording shows that it did.
SERVING: Final = """\
# in place of {former}
import http.server as h, os, signal, time, urllib.request
who = os.environ.get('CONTAINER_APP_REVISION', '-') + '/' + os.environ.get('CONTAINER_APP_REPLICA_NAME', '-')
def asked(what):
    try:
        return urllib.request.urlopen('{gate}/' + what + '/' + who).read() == b'yes'
    except OSError:
        return True
def leave(*_):
    while not asked('may-end'):
        time.sleep(0.05)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
while not asked('may-begin'):
    time.sleep(0.05)
print('Listening on :80...', flush=True)
h.SimpleHTTPRequestHandler.log_message = lambda *_: None
address = ('127.0.0.1', int(os.environ.get('PORT', 0)))
h.ThreadingHTTPServer(address, h.SimpleHTTPRequestHandler).serve_forever()
"""
MARK: Final = "# in place of "
IMAGES: Final = (
    "mcr.microsoft.com/k8se/quickstart:latest",
    "mcr.microsoft.com/azuredocs/containerapps-helloworld:latest",
    "nginx",
)
# A command that the recording shows as ready, and that needs what its image does not bring here.
COMMANDS: Final[tuple[list[str], ...]] = ([], ["npm", "start"])
RUNNING: Final = ("Running", "RunningAtMaxScale", "ScaledToZero")
ASKS_AGAIN_SECONDS: Final = 2  # of a stand-in that wants to end, with much to spare


@dataclass(slots=True)
class Gate:
    """Where stand-ins ask whether they may begin and end: `follow` reads it from the recording."""

    _began: set[str] = field(default_factory=set)
    _known: set[str] = field(default_factory=set)
    _newest: str = ""
    _may_end: bool = False
    _up: set[tuple[str, str]] = field(default_factory=set)  # revision and replica, once they handle SIGTERM
    _dismissed: set[tuple[str, str]] = field(default_factory=set)
    _kept: dict[str, float] = field(default_factory=dict)  # when one of a revision was last told not to end
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Gate:
        gate = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                yes = gate._answer(*self.path.split("/")[1:])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"yes" if yes else b"no")

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def address(self, container: dict[str, Any]) -> str:
        """Of the stand-in for a container: the same for the same container, so that it is no new revision."""
        assert self._server is not None
        key = hashlib.sha256(json.dumps(container, sort_keys=True).encode()).hexdigest()[:16]
        self._known.add(key)
        return f"http://127.0.0.1:{self._server.server_address[1]}/{key}"

    def _answer(self, key: str, what: str, revision: str, replica: str) -> bool:
        self._up.add((revision, replica))
        if what == "may-begin":
            return key in self._began
        may_end = self._may_end or (revision, replica) in self._dismissed
        if not may_end:
            self._kept[revision] = time.monotonic()
        return may_end

    def is_settled(self, revision: str, replicas: Iterable[str]) -> bool:
        """Whether its replicas are up, or wait for one that is kept from its end."""
        if time.monotonic() - self._kept.get(revision, -math.inf) < ASKS_AGAIN_SECONDS:
            return True
        return all((revision, replica) in self._up for replica in replicas)

    def follow(self, recorded: Exchange, path: str) -> None:
        """Let begin and end what had begun and ended when this was recorded; `path` is asked here."""
        shown = list(_documents(recorded.answer_body))
        for document in shown:
            self._newest = document.get("latestRevisionName") or self._newest
        if any(self._is_ready(document) for document in shown) or self._is_asked(recorded):
            self._began |= self._known
        if recorded.method == "DELETE":
            self._dismissed |= self._up
        if path.endswith("/restart"):
            revision = path.split("/")[-2]
            self._dismissed |= {item for item in self._up if item[0] == revision}
            self._kept.pop(revision, None)
        self._may_end = any(document.get("active") is False for document in shown)

    def _is_ready(self, document: dict[str, Any]) -> bool:
        """Whether an app or a revision shows that the newest revision is ready."""
        if document.get("latestRevisionName"):
            return bool(document["latestReadyRevisionName"] == document["latestRevisionName"])
        return document.get("name") == self._newest and document.get("runningState") in RUNNING

    def _is_asked(self, recorded: Exchange) -> bool:
        """Whether the newest revision itself, or one of its replicas, answered."""
        of_the_newest = bool(self._newest) and f"/revisions/{self._newest}/replicas" in recorded.url.path
        return recorded.status == 200 and (recorded.to_an_app or of_the_newest)


def with_stand_ins(body: Any, gate: Gate) -> Any:
    """The request body with a command in each container of a known image that has none."""
    if not isinstance(body, dict):
        return body
    body = copy.deepcopy(body)
    for container in _containers(body):
        former = container.get("command") or []
        if container.get("image") in IMAGES and former in COMMANDS:
            essence = {key: value for key, value in container.items() if value and key != "imageType"}
            address = gate.address(essence)
            program = SERVING.format(gate=address, former=json.dumps(former))
            container["command"] = ["python3", "-c", program]
    return body


def has_stand_in(document: Any) -> bool:
    """Whether a container of an app or a revision, as the local cloud has it, is a stand-in."""
    commands = [container.get("command") or [""] for container in _containers(document)]
    return any(command[-1].startswith(MARK) for command in commands)


def without_stand_ins(answer: httpx.Response) -> httpx.Response:
    """The answer as it would be without our commands in it."""
    if MARK not in answer.text:
        return answer
    body = answer.json()
    for container in _containers(body):
        command = container.get("command") or [""]
        if command[-1].startswith(MARK):
            former = json.loads(command[-1].partition("\n")[0].removeprefix(MARK))
            container["command"] = former
            if not former:
                del container["command"]
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return httpx.Response(answer.status_code, headers=headers, content=json.dumps(body))


def _documents(body: Any) -> Iterator[dict[str, Any]]:
    """The properties of each document of an answer, with its name."""
    if not isinstance(body, dict):
        return
    for item in body.get("value", [body]) if isinstance(body.get("value", []), list) else ():
        if isinstance(item, dict) and isinstance(item.get("properties"), dict):
            yield {"name": item.get("name"), **item["properties"]}


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
