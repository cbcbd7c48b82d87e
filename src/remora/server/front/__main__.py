"""`python -m remora.server.front MOUNT --release ID --host H --port P`: what the front's container runs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from remora.errors import RemoraError
from remora.server.access.admission import Admission
from remora.server.access.key_ring import KeyRing
from remora.server.front.app import create_front
from remora.server.front.settings import MOST_OPEN_REQUESTS, front_settings
from remora.server.listening import bind, run
from remora.server.telemetry.log_lines import json_log


def main() -> int:
    arguments = _parser().parse_args()
    try:
        settings = front_settings(os.environ, arguments.mount, arguments.release)
        keys = KeyRing((*settings.serve.admin_keys, *settings.serve.api_keys))
        admission = Admission(MOST_OPEN_REQUESTS, MOST_OPEN_REQUESTS)
        app = create_front(settings, keys, admission)
        listener = bind(arguments.host, arguments.port)
        _report(f"in front of {settings.upstream}")
        with json_log(requests_too=settings.serve.log_requests):
            run(app, listener, admission, settings.serve, _report)
    except RemoraError as error:
        _report(f"Error ({error.code}): {error.message}; {error.hint}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m remora.server.front", description="Front of a release.")
    parser.add_argument("mount", type=Path, help="where the share is mounted")
    parser.add_argument("--release", required=True, help="the id of the release whose code this is")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    return parser


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
