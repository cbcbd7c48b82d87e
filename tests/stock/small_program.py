"""The same interface without a model, for what does not depend on one: its answers show what it was given."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "1"
ADAPTER = Path("../models/qlora/qlora/gpu_model/adapter/adapter_config.json")
KNOWN = json.loads(ADAPTER.read_text())["r"] if ADAPTER.exists() else None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer("text/html", b"<title>chat</title>", 200 if self.path == "/" else 404)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions":
            self.answer("text/plain", b"", 404)
            return
        if not asked["temperature"]:  # as transformers refuses to sample so: the stream ends without a word
            self.answer("text/event-stream", b"")
            return
        said = ("version ", VERSION, f", r {KNOWN}: ", asked["messages"][-1]["content"])
        deltas = ({"role": "assistant", "content": piece} for piece in said)
        events = "".join(f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas)
        self.answer("text/event-stream", events.encode())

    def answer(self, kind: str, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes are no news."""


print("small program started", flush=True)  # noqa: T201
ThreadingHTTPServer(("127.0.0.1", 7860), Handler).serve_forever()
