"""`python -m tests.load.echo_server`: the endpoint over the echo engine, for many clients at once."""

from __future__ import annotations

import sys

from tests.api.endpoint_builder import ADAPTERS, BASE
from tests.load.servers import KEY

from remora.adapters.registry import AdapterRegistry
from remora.engine.echo import EchoEngine
from remora.project.api_keys import ApiKey
from remora.server.app import admission_of, create_app, key_ring
from remora.server.listening import bind, run
from remora.server.settings import ServerSettings


def main() -> None:
    settings = ServerSettings(
        api_keys=(ApiKey("load", KEY),),
        chat_page=False,
        max_open_requests=4096,
        log_requests=False,
        graceful_shutdown_seconds=0,
    )
    engine = EchoEngine(context_length=10_000_000)
    for adapter in ADAPTERS:
        engine.load_adapter(adapter)
    admission = admission_of(settings, key_ring(settings))
    app = create_app(engine, AdapterRegistry(BASE, ADAPTERS), settings, admission=admission)
    run(app, bind("127.0.0.1", 0), admission, settings, _report)


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
