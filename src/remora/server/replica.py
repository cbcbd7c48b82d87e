"""`python -m remora.server MOUNT --release ID --host H --port P`: what a replica runs.

Owns reading the share and the container's environment; everything after that is `serving`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from remora.adapters.mirror.mirror import Mirror
from remora.adapters.model_set import ModelSet
from remora.adapters.shared import open_share
from remora.adapters.store import ADAPTERS
from remora.engine.base import Engine
from remora.errors import InvalidInput, RemoraError
from remora.server.access.keys import (
    FILE_VARIABLE,
    VARIABLE,
    admin_key_from_environment,
    keys_from_environment,
)
from remora.server.engines import EngineSettings, load_engine
from remora.server.listening import bind
from remora.server.serving import serve
from remora.server.settings import ServerSettings

ALIAS_SET_VARIABLE = "REMORA_ADAPTERS"


def main() -> int:
    arguments = _parser().parse_args()
    try:
        _serve_share(arguments.mount, arguments.release, arguments.host, arguments.port)
    except RemoraError as error:
        _report(f"Error ({error.code}): {error.message}; {error.hint}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _serve_share(mount: Path, release_id: str, host: str, port: int) -> None:
    settings = _server_settings(os.environ)
    listener = bind(host, port)
    mirror = Mirror.of(mount, os.environ)
    share = open_share(mount, release_id, os.environ.get(ALIAS_SET_VARIABLE, ""), mirror)
    settings = replace(settings, adapter_roots=(mount / ADAPTERS,))

    def load(of: ModelSet) -> Engine:
        return load_engine(of.base_path, EngineSettings.of(share.serve))

    models = ModelSet(share.base_name, share.base, (), share.prompt_templates)
    serve(listener, models, load, settings.with_serve(share.serve), _report, share=share)


def _server_settings(environment: Mapping[str, str]) -> ServerSettings:
    """The container's own keys, and those of a file, which can be exchanged without a restart."""
    file = environment.get(FILE_VARIABLE)
    settings = ServerSettings(
        api_keys=keys_from_environment(environment),
        api_key_file=Path(file) if file else None,
        admin_keys=admin_key_from_environment(environment),
    )
    if not settings.asks_for_key:
        raise InvalidInput("the endpoint has no API key", hint=f"set {VARIABLE}", param=VARIABLE)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m remora.server", description="Serve a release on a share."
    )
    parser.add_argument("mount", type=Path, help="where the share is mounted")
    parser.add_argument("--release", required=True, help="the id of the release to serve")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    return parser


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
