"""The HTTP half of the small peers: a thread for each connection, one event for each token.

`/v1/completions` with token ids in, words out, as much of OpenAI's form as the harness needs. Only the
standard library, since the peers live in environments of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def serve(port: int, generate: Callable[[dict[str, Any]], Iterator[int]]) -> None:
    """Answer on loopback until killed; `generate` is called in a thread of its own for each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for token in generate(body):
                chunk = json.dumps({"choices": [{"index": 0, "text": f"w{token} "}]})
                self.wfile.write(f"data: {chunk}\n\n".encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    Server(("127.0.0.1", port), Handler).serve_forever()
