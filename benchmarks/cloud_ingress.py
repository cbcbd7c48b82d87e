"""What the local cloud's ingress adds to a request: the same app, asked directly and through it, in turns.

    python benchmarks/cloud_ingress.py [--requests N]

Starts a local cloud in a temporary folder, deploys a small ASGI app, and keeps one connection open to each
of the two ports. Prints the medians, their difference, and how long the ingress delays the first event of a
stream.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

MOST_ADDED_MS: Final = 1.5
DEADLINE_SECONDS: Final = 60
API_VERSION: Final = "2025-07-01"
APP: Final = """
import os, uvicorn, asyncio

async def app(scope, receive, send):
    kind = b"text/event-stream" if scope["path"] == "/stream" else b"application/json"
    port = os.environ["PORT"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"{\\"port\\": " + port + b"}"})

uvicorn.run(app, host=os.environ["REMORA_HOST"], port=int(os.environ["PORT"]), log_level="critical",
            access_log=False, lifespan="off")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="number of requests to each port")
    count: int = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as folder, running_cloud(Path(folder)) as connection:
        ingress = deploy(connection, Path(folder))
        direct = json.loads(ask(ingress, "/"))["port"]
        whole = compare(direct, ingress, count, timed_request)
        first = compare(direct, ingress, min(count, 100), timed_first_event)
    report("request", *whole)
    report("first event of a stream", *first)
    added = difference(*whole)
    print(f"the ingress adds {added:.2f} ms at the median (limit {MOST_ADDED_MS} ms)")
    return 0 if added < MOST_ADDED_MS else 1


@contextmanager
def running_cloud(home: Path) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen([sys.executable, "-m", "containerapps_emulator", "--home", str(home)])
    try:
        path = home / "cloud" / "connection.json"
        yield until(lambda: json.loads(path.read_text()) if path.exists() else None)
    finally:
        process.terminate()
        process.wait()


def deploy(connection: dict[str, Any], folder: Path) -> int:
    """The port of the ingress, once the app is ready."""
    script = folder / "app.py"
    script.write_text(APP)
    group = f"/subscriptions/{connection['subscription_id']}/resourceGroups/bench"
    environment = f"{group}/providers/Microsoft.App/managedEnvironments/env"
    app = f"{group}/providers/Microsoft.App/containerApps/app"
    container = {"name": "main", "image": "none", "command": [sys.executable, str(script)]}
    arm(connection, "PUT", group, {"location": "westus3"})
    arm(connection, "PUT", environment, {"location": "westus3", "properties": {}})
    until(lambda: state(connection, environment) == "Succeeded")
    properties = {
        "environmentId": environment,
        "configuration": {"ingress": {"external": True, "targetPort": 80}},
        "template": {"containers": [container], "scale": {"minReplicas": 1}},
    }
    arm(connection, "PUT", app, {"location": "westus3", "properties": properties})
    until(lambda: arm(connection, "GET", app)["properties"]["latestReadyRevisionName"])
    fqdn: str = arm(connection, "GET", app)["properties"]["configuration"]["ingress"]["fqdn"]
    return int(fqdn.rpartition(":")[2])


def arm(connection: dict[str, Any], method: str, path: str, body: object = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - of the local cloud that was started here
        f"{connection['arm_url']}{path}?api-version={API_VERSION}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {connection['token']}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        document: dict[str, Any] = json.load(answer)
    return document


def state(connection: dict[str, Any], path: str) -> str:
    return str(arm(connection, "GET", path)["properties"]["provisioningState"])


def ask(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def compare(
    direct: int, ingress: int, count: int, timed: Callable[[http.client.HTTPConnection], float]
) -> tuple[list[float], list[float]]:
    """Milliseconds directly and through the ingress, in turns, so that both run under the same load."""
    ports = [http.client.HTTPConnection("127.0.0.1", port) for port in (direct, ingress)]
    for connection in ports * 20:
        timed(connection)
    straight, through = ([], [])  # type: tuple[list[float], list[float]]
    for _ in range(count):
        for connection, times in zip(ports, (straight, through), strict=True):
            times.append(timed(connection))
    return straight, through


def timed_request(connection: http.client.HTTPConnection) -> float:
    begun = time.perf_counter()
    connection.request("GET", "/")
    connection.getresponse().read()
    return (time.perf_counter() - begun) * 1000


def timed_first_event(connection: http.client.HTTPConnection) -> float:
    begun = time.perf_counter()
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    answer.readline()
    elapsed = (time.perf_counter() - begun) * 1000
    answer.read()
    return elapsed


def difference(straight: list[float], through: list[float]) -> float:
    return statistics.median(through) - statistics.median(straight)


def report(what: str, straight: list[float], through: list[float]) -> None:
    print(
        f"{what}: {statistics.median(straight):.2f} ms directly, {statistics.median(through):.2f} ms through"
        f" the ingress (95%: {percentile(straight):.2f}, {percentile(through):.2f}), n={len(straight)}"
    )


def percentile(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("the local cloud was not ready in time")
        time.sleep(0.05)
    return value


if __name__ == "__main__":
    sys.exit(main())
