"""The environment variables of a container: what the template says, then what the platform injects.

A container inherits nothing else of ours, as it would not on Azure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from remora.localcloud.apps.mounts import Mounts
from remora.localcloud.apps.template import RevisionTemplate

INHERITED: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "USER",
    "LD_LIBRARY_PATH",  # drivers of accelerators
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)


def container_environment(
    template: RevisionTemplate,
    secrets: Mapping[str, str],
    mounts: Mounts,
    *,
    app: str,
    revision: str,
    replica: str,
    address: str,
    port: int,
) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    binaries = Path(sys.executable).parent
    given = {
        variable.name: secrets.get(variable.secret, "")
        if variable.secret
        else mounts.translate(variable.value)
        for variable in template.variables
    }
    injected = {
        "PORT": str(port),
        "REMORA_HOST": address,
        "GRADIO_SERVER_PORT": str(port),  # the AI Toolkit's own app is served by Gradio
        "GRADIO_SERVER_NAME": address,
        "CONTAINER_APP_NAME": app,
        "CONTAINER_APP_REVISION": revision,
        "CONTAINER_APP_REPLICA_NAME": replica,
        "CONTAINER_APP_PORT": str(port),
    }
    if mounts.root:
        injected["REMORA_MOUNT"] = mounts.root
    path = {"PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    return {**inherited, **path, **given, **injected}
