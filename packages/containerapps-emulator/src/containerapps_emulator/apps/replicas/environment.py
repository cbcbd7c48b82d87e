"""The environment variables of a container: what the template says, then what the platform injects.

A container inherits nothing else of ours, as it would not on Azure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from containerapps_emulator.apps.documents.template import ContainerTemplate
from containerapps_emulator.apps.replicas.isolation import Own
from containerapps_emulator.apps.replicas.mounts import Mounts
from containerapps_emulator.apps.replicas.own_python import starts_remora

INHERITED: Final = (
    "LANG",
    "LC_ALL",
    "USER",
    "LD_LIBRARY_PATH",  # drivers of accelerators
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
# How this machine reaches package indexes: the network is the machine's own.
NETWORK: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"),
)
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Place:
    """Which replica of what it is, and where it runs."""

    names: Mapping[str, str]  # variables that tell the program what it is, and where its tokens are
    address: str
    port: int  # 0: it is given none
    own: Own
    isolated: bool


def container_environment(
    container: ContainerTemplate, secrets: Mapping[str, str], mounts: Mounts, place: Place
) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in (*INHERITED, *NETWORK) if name in os.environ}
    given = {
        variable.name: secrets.get(variable.secret, "")
        if variable.secret
        else mounts.translate(variable.value)
        for variable in container.variables
    }
    address, port = place.address, str(place.port)
    injected = {"REMORA_HOST": address, **place.names}
    if place.port:
        injected |= {
            "PORT": port,
            "GRADIO_SERVER_PORT": port,  # the AI Toolkit's own app is served by Gradio
            "GRADIO_SERVER_NAME": address,
            "CONTAINER_APP_PORT": port,
        }
    if mounts.root:
        injected["REMORA_MOUNT"] = mounts.root
    return {**inherited, **_own(place, remora=starts_remora(container.command)), **given, **injected}


def _own(place: Place, *, remora: bool) -> dict[str, str]:
    """Where its programs come from and where they write, so that none of it is ours."""
    own = place.own
    own_programs = [str(own.environment / "bin")]
    ours = [str(Path(sys.executable).parent)] if remora else []  # vLLM may be there
    return {
        "PATH": os.pathsep.join([*own_programs, *_machine_path(), *ours]),
        "VIRTUAL_ENV": str(own.environment),
        "HOME": str(own.home),
        "TMPDIR": "/tmp" if place.isolated else str(own.temporary),  # noqa: S108 - it is its own
        "NPM_CONFIG_PREFIX": str(own.environment),
        # Without mount namespaces nothing else keeps it from writing beside modules that are not its own.
        **({} if place.isolated else {"PYTHONDONTWRITEBYTECODE": "1"}),
    }


def _machine_path() -> list[str]:
    """The machine's programs, without those of this program, of somebody's home folder, and conda's."""
    foreign = (Path(sys.prefix), Path(sys.base_prefix), Path.home())
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    system = SYSTEM_PATH.split(os.pathsep)
    kept = [
        folder
        for folder in folders
        if not any(Path(folder).is_relative_to(it) for it in foreign)
        and not (Path(folder) / "conda").exists()
    ]
    return kept + [folder for folder in system if folder not in kept]
