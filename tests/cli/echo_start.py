"""Starts a release as its own `start.py` does, with an engine that echoes; all but the model is real.

python3 echo_start.py MOUNT start.py        in the folder of the release
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    mount, release = Path(sys.argv[1]), Path.cwd()
    sys.path.insert(0, str(release))
    if os.environ.get("REMORA_SHARE_URL"):
        importlib.import_module("start").pull(mount, release, lambda _: None)
    sys.path.insert(0, str(release / "code.zip"))
    server: Any = importlib.import_module("remora.server.replica")
    echo = importlib.import_module("remora.engine.echo")
    server.load_engine = lambda *_: echo.EchoEngine()
    where = ("--host", os.environ["REMORA_HOST"], "--port", os.environ["PORT"])
    sys.argv = ["server", str(mount), "--release", release.name, *where]
    sys.exit(server.main())


main()
