"""The first program of a container. Copied into every release on the share; standard library only.

Installs what `requirements.txt` names unless it is there, then becomes the endpoint of `code.zip`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - in a container, only the ingress can reach it


def main() -> None:
    release = Path(__file__).resolve().parent
    mount = release.parents[2]
    missing = [line for line in (release / "requirements.txt").read_text().split() if not is_installed(line)]
    if missing:
        sys.stderr.write(f"installing {' '.join(missing)}\n")
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--no-input", *missing], check=False)
        if done.returncode:
            sys.exit(f"pip install failed with exit code {done.returncode}; the endpoint is not started")
    command = [
        sys.executable,
        *("-m", "remora.server", str(mount)),
        *("--release", release.name),
        *("--host", os.environ.get("REMORA_HOST", ALL_INTERFACES)),
        *("--port", os.environ.get("PORT", "7860")),
    ]
    os.environ["PYTHONPATH"] = str(release / "code.zip")
    os.execv(sys.executable, command)  # noqa: S606 - become the endpoint: signals must reach it


def is_installed(requirement: str) -> bool:
    """Whether `name==version` is installed; a local label such as +cpu does not matter."""
    name, _, wanted = requirement.partition("==")
    try:
        return version(name).partition("+")[0] == wanted
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    main()
