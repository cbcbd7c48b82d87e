"""What the tests of deploying run as a container: reads the share once, as it starts, and answers with it.

It takes its aliases from `aliases.json` or from the set that its revision names, whichever is newer. If the
share has a file `wrong`, it answers as another adapter.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SHARE = Path(sys.argv[1]) / ".remora"


def read_aliases() -> dict[str, Any]:
    named = SHARE / "alias-sets" / f"{os.environ['REMORA_ADAPTERS']}.json"
    documents = [json.loads(path.read_text()) for path in (SHARE / "aliases.json", named) if path.exists()]
    newest: dict[str, Any] = max(documents, key=lambda document: document.pop("$generation", 0))
    return newest


RELEASE = json.loads((SHARE / "releases" / os.environ["REMORA_RELEASE"] / "release.json").read_text())
ALIASES = read_aliases()
WRONG = (SHARE / "wrong").exists()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        names = [RELEASE["base_name"], *ALIASES]
        self.answer({"data": [{"id": name} for name in names], "serve": RELEASE["serve"]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        digest = "other" if WRONG else ALIASES.get(asked["model"], {}).get("digest")
        choice = {"message": {"content": "hello"}, "finish_reason": "stop"}
        usage = {"completion_tokens": 1}
        told = {"digest": digest, "release": os.environ["REMORA_RELEASE"]}
        self.answer({"choices": [choice], "usage": usage, "remora": told})

    def answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes are no news."""


ThreadingHTTPServer((os.environ["REMORA_HOST"], int(os.environ["PORT"])), Handler).serve_forever()
