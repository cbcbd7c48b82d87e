"""An emulator that runs in another process: whether it does, what other tools need of it, and its end."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import urllib.request
from pathlib import Path

from containerapps_emulator.connection import FILE_NAME, Connection
from containerapps_emulator.errors import NotRunning
from containerapps_emulator.lock import LOCK

_HEALTH_SECONDS = 5.0


def running(folder: Path) -> Connection:
    """The connection of the emulator that serves `folder`. Raises NotRunning."""
    try:
        connection = Connection(**json.loads((folder / FILE_NAME).read_bytes()))
        with urllib.request.urlopen(f"{connection.arm_url}/healthz", timeout=_HEALTH_SECONDS):  # noqa: S310
            return connection
    except (OSError, ValueError, TypeError) as error:  # gone, damaged, or left behind by one that was killed
        raise NotRunning(
            f"no local cloud runs for {folder}",
            hint=f"start it with: containerapps-emulator --home {folder.parent}",
        ) from error


def exports(connection: Connection) -> dict[str, str]:
    """Environment variables for clients: the Azure CLI and the SDKs read those of the second half.

    With `--tls` they trust the emulator's certificate and sign in as a managed identity.
    """
    variables = {
        "CONTAINERAPPS_EMULATOR_ARM_URL": connection.arm_tls_url or connection.arm_url,
        "CONTAINERAPPS_EMULATOR_FILES_URL": connection.files_tls_url or connection.files_url,
        "CONTAINERAPPS_EMULATOR_TOKEN": connection.token,
        "AZURE_SUBSCRIPTION_ID": connection.subscription_id,
        "AZURE_TENANT_ID": connection.tenant_id,
        "REQUESTS_CA_BUNDLE": connection.ca_file,
        "IDENTITY_ENDPOINT": connection.identity_endpoint,
        "IDENTITY_HEADER": connection.identity_header,
    }
    return {name: value for name, value in variables.items() if value is not None}


def stop(folder: Path) -> None:
    """End the emulator that serves `folder`, and wait for it: it gives its replicas their grace periods.

    Raises NotRunning.
    """
    os.kill(running(folder).pid, signal.SIGTERM)
    with (folder / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it when the process has ended
