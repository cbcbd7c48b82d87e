"""How a front behaves. Owns its numbers, and reads them from a container's environment and its release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from remora.adapters.store import read_release
from remora.errors import InvalidInput
from remora.server.access.keys import VARIABLE, admin_key_from_environment, keys_from_environment
from remora.server.front.upstream import upstream_url
from remora.server.settings import ServerSettings

UPSTREAM_VARIABLE = "REMORA_FRONT_OF"
WAIT_VARIABLE = "REMORA_FRONT_WAIT_SECONDS"
WAIT_SECONDS = 200.0
MOST_OPEN_REQUESTS = 1024
"""The model's app has its own, smaller limit for each replica; this one only bounds the front's memory."""


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """`upstream` is the address of the model's app, `wait_seconds` how long what is no stream waits for it.

    `serve` are the settings of the release: the front guards as the endpoint does. `share` is None where the
    share is not mounted: then the progress is told in seconds only.
    """

    upstream: str
    serve: ServerSettings
    wait_seconds: float = WAIT_SECONDS
    share: Path | None = None


def front_settings(environment: Mapping[str, str], share: Path, release_id: str) -> FrontSettings:
    """The settings of the front in this container. Raises InvalidInput or InvalidFile."""
    serve = ServerSettings(
        api_keys=keys_from_environment(environment), admin_keys=admin_key_from_environment(environment)
    )
    serve = serve.with_serve(read_release(share, release_id).serve)
    if not serve.asks_for_key:
        raise InvalidInput("the front has no API key", hint=f"set {VARIABLE}", param=VARIABLE)
    upstream = environment.get(UPSTREAM_VARIABLE, "")
    if not upstream:
        raise InvalidInput("the front knows no app", hint=f"set {UPSTREAM_VARIABLE}", param=UPSTREAM_VARIABLE)
    settings = FrontSettings(upstream_url(upstream), serve, share=share)
    wait = environment.get(WAIT_VARIABLE, "")
    return replace(settings, wait_seconds=float(wait)) if wait.isdigit() else settings
