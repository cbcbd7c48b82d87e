"""The app that the tests run as a container: a small HTTP server whose answers show what became of it."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

released = threading.Event()
gone = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
        getattr(self, "get_" + (url.path.strip("/") or "index"))()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer({"bytes": len(body), "sum": sum(body), "headers": dict(self.headers)})

    def get_index(self) -> None:
        self.answer({"version": os.environ.get("VERSION"), "pid": os.getpid()})

    def get_env(self) -> None:
        self.answer(dict(os.environ))

    def get_headers(self) -> None:
        self.answer({"target": self.path, "headers": dict(self.headers)})

    def get_file(self) -> None:
        with open(self.query["path"]) as file:  # noqa: PTH123
            self.answer({"content": file.read()})

    def get_exit(self) -> None:
        print("about to fail", flush=True)  # noqa: T201
        os._exit(int(self.query["code"]))

    def get_release(self) -> None:
        released.set()
        self.answer({})

    def get_gone(self) -> None:
        self.answer({"gone": gone.is_set()})

    def get_stream(self) -> None:
        """One event, and the second only after /release."""
        self.begin_stream()
        self.event("first")
        released.wait(30)
        self.event("second")
        self.wfile.write(b"0\r\n\r\n")

    def get_endless(self) -> None:
        self.begin_stream()
        try:
            while True:
                self.event("tick")
                time.sleep(0.02)
        except OSError:
            gone.set()
            self.close_connection = True

    def get_slow(self) -> None:
        """Answers once the file `until` exists."""
        print("slow request begun", flush=True)  # noqa: T201
        while not os.path.exists(self.query["until"]):  # noqa: PTH110
            time.sleep(0.01)
        self.answer({"version": os.environ.get("VERSION")})

    def get_drop(self) -> None:
        self.connection.close()
        self.close_connection = True

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def event(self, text: str) -> None:
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        print(f"request {self.path}", flush=True)  # noqa: T201


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if delay := os.environ.get("START_DELAY"):
        time.sleep(float(delay))
    if code := os.environ.get("FAIL"):
        print(f"cannot start: {code}", file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(int(code))
    server = ThreadingHTTPServer((os.environ["REMORA_HOST"], int(os.environ["PORT"])), Handler)
    print(f"listening, version {os.environ.get('VERSION')}", flush=True)  # noqa: T201
    server.serve_forever()


main()
