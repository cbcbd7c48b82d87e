"""A workload as a Compose file. Keys come from the environment of `docker compose`, under their variables."""

from __future__ import annotations

import re
from typing import Any

from remora.rollout.export.workload import Probe, Workload

_EXTRA_SECONDS = 5

Json = dict[str, Any]


def compose_file(workload: Workload, *, share: str) -> Json:
    """The file. `share` is a folder with a copy of the share's content; the port is open on loopback only."""
    keys = {name: f"${{{name}:?set {name}}}" for name in workload.secrets}
    service: Json = {
        "image": workload.image,
        **({"entrypoint": [_literal(word) for word in workload.command]} if workload.command else {}),
        **({"command": [_literal(word) for word in workload.args]} if workload.args else {}),
        "environment": {**{name: _literal(value) for name, value in workload.variables.items()}, **keys},
        "ports": [f"127.0.0.1:{workload.port}:{workload.port}"],
        "volumes": [{"type": "bind", "source": share, "target": workload.mount}],
        "stop_grace_period": f"{workload.grace_seconds}s",
        "restart": "unless-stopped",
        "deploy": {"resources": _resources(workload)},
    }
    ready = next((probe for probe in workload.probes if probe.kind == "Readiness"), None)
    if ready is not None:
        service["healthcheck"] = _healthcheck(ready)
    return {"name": _project(workload.name), "services": {"remora": service}}


def _resources(workload: Workload) -> Json:
    limits = {"cpus": f"{workload.cpu:g}", "memory": f"{workload.memory_gib:g}g"}
    if not workload.gpus:
        return {"limits": limits}
    device = {"driver": "nvidia", "count": workload.gpus, "capabilities": ["gpu"]}
    return {"limits": limits, "reservations": {"devices": [device]}}


def _healthcheck(probe: Probe) -> Json:
    """With Python, which the image has; it need not have curl."""
    url = f"http://127.0.0.1:{probe.port}{probe.path}"
    ask = f"import urllib.request as r; r.urlopen({url!r}, timeout={probe.timeout_seconds})"
    return {
        "test": ["CMD", "python3", "-c", ask],
        "interval": f"{probe.period_seconds}s",
        "timeout": f"{probe.timeout_seconds + _EXTRA_SECONDS}s",
        "retries": probe.failure_threshold,
    }


def _literal(text: str) -> str:
    """A dollar sign is doubled, because Compose replaces variables in every text."""
    return text.replace("$", "$$")


def _project(name: str) -> str:
    """Compose allows lower-case letters, digits, hyphens and underscores."""
    return re.sub(r"[^a-z0-9_-]", "-", name.lower())
