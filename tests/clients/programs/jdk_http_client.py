"""What the JDK's HttpClient sends, byte by byte: no JVM is needed to see how an endpoint takes it.

It asks for HTTP/2 with the first request of each connection to a plain address (`Connection: Upgrade,
HTTP2-Settings`), sends a body with a Content-Length behind it, and goes on in HTTP/1.1 where the server does
not switch. Spring AI and LangChain4j send their requests with it.
"""

import json
import socket
from urllib.parse import urlsplit

import harness as h

# The SETTINGS that its client sends: no push, and its windows.
SETTINGS = "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
SECONDS = 120.0


class Connection:
    """One connection, kept alive."""

    def __init__(self, url=h.URL, key=h.KEY):
        at = urlsplit(url)
        self._host, self._key = at.netloc, key
        self.socket = socket.create_connection((at.hostname, at.port), timeout=SECONDS)
        self._file = self.socket.makefile("rb")
        self._offers_http2 = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self.socket.close()

    def send(self, method, path, body=None):
        """Sends it, and gives status and headers."""
        payload = json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} /v1/{path} HTTP/1.1"]
        if self._offers_http2:
            lines.append("Connection: Upgrade, HTTP2-Settings")
        if body is not None:
            lines.append(f"Content-Length: {len(payload)}")
        lines.append(f"Host: {self._host}")
        if self._offers_http2:
            lines += [f"HTTP2-Settings: {SETTINGS}", "Upgrade: h2c"]
        lines += ["User-Agent: Java-http-client/21.0.5", f"Authorization: Bearer {self._key}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if payload:
            self.socket.sendall(payload)  # in a write of its own, as there
        self._offers_http2 = False
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def pieces(self, headers):
        """The body, as it comes."""
        if "content-length" in headers:
            yield self._file.read(int(headers["content-length"]))
            return
        assert headers["transfer-encoding"] == "chunked", headers
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            self._file.readline()
        self._file.readline()

    def json(self, method, path, body=None):
        status, headers = self.send(method, path, body)
        document = json.loads(b"".join(self.pieces(headers)))
        assert status == 200, f"{status} {document['error']['message']}"
        return document


def ask(text=h.HELLO, connection=None, model=h.MODEL, **fields):
    body = {"model": model, "messages": h.user(text), **fields}
    with connection or Connection() as asked:
        return asked.json("POST", "chat/completions", body)["choices"]


def said(*args, **fields):
    return ask(*args, **fields)[0]["message"]["content"]


def names(text="x", **fields):
    calls = ask(text, tools=[h.TOOL], **fields)[0]["message"]["tool_calls"]
    return [call["function"]["name"] for call in calls]


def listed():
    with Connection() as connection:
        for _ in range(2):  # the second one without the offer, on the same connection
            assert h.MODEL in [each["id"] for each in connection.json("GET", "models")["data"]]


def chat():
    with Connection() as connection:
        for _ in range(2):
            body = {"model": h.MODEL, "messages": h.user(h.HELLO)}
            answer = connection.json("POST", "chat/completions", body)
            assert answer["choices"][0]["message"]["content"] == h.HELLO


def events(text):
    body = {
        "model": h.MODEL,
        "messages": h.user(text),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with Connection() as connection:
        status, headers = connection.send("POST", "chat/completions", body)
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        for piece in connection.pieces(headers):
            for line in piece.decode().splitlines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))


def stream():
    parts = [each["choices"][0]["delta"].get("content", "") for each in events(h.HELLO) if each["choices"]]
    assert "".join(parts) == h.HELLO


def usage():
    *_, last = events(h.HELLO)
    assert last["usage"]["completion_tokens"] == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice="required") == ["get_weather"]


def named():
    assert names(tool_choice=h.NAMED) == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    message = ask("one", tools=[h.TOOL])[0]["message"]
    told = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "warm"}
    assert said(messages=[*h.user("one"), message, told], tools=[h.TOOL]) == h.WARM


def schema():
    assert '"city"' in said("x", response_format=h.RESPONSE_FORMAT)


def stop():
    assert said(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def logprobs():
    assert ask(logprobs=True)[0]["logprobs"]["content"]


def several():
    assert len(ask(n=3)) == 3


def seed():
    assert said(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


def leave():
    parts = events(h.LONG)
    next(parts)
    parts.close()


h.run(
    {"asks again only where its program does": "retry", "one connection is as the other": "asynchronous"},
    list=listed,
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    n=several,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: ask(connection=Connection(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: ask(model=h.WRONG_MODEL)),
)
