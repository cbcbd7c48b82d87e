"""What the tests run as a container: prints what it is asked to, and ends when it is told to."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = unquote(self.path.removeprefix("/"))
        if text == "exit":
            os._exit(3)
        for line in text.split(","):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        """Print nothing of its own."""


address = (os.environ["REMORA_HOST"], int(os.environ["PORT"]))
sys.stdout.write(f"started as {os.environ.get('VERSION')}\n")
sys.stdout.flush()
ThreadingHTTPServer(address, Handler).serve_forever()
