"""The command that runs the local cloud, a program of its own, with the hints that help Remora's users.

Owns its name and its flags. Never imports it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

MODULE: Final = "containerapps_emulator"
FORMER_MODULE: Final = "remora.localcloud"  # in the files that versions up to 0.1 gave to a supervisor
HINTS: Final = {
    "status": "remora cloud status",
    "reset": "start again and keep the files of the shares: remora cloud reset --keep-shares,"
    " then in each project: remora up",
    "home": "make it writable, or set REMORA_HOME to a folder that you can write to",
}


def emulator_command(home: Path, *words: str) -> list[str]:
    """A command of the emulator for the state in `home`; `words` is the command and its flags."""
    return [sys.executable, "-m", MODULE, *words, "--home", str(home), "--hints", json.dumps(HINTS)]
