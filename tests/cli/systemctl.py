"""A stand-in for `systemctl --user`, which needs a login session that a container and CI have not got."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.command import User

_SCRIPT = """#!/bin/sh
# What `systemctl --user` does with one unit that is restarted where it fails.
unit="$XDG_CONFIG_HOME/systemd/user/remora-cloud.service"
echo "$*" >> "$0.log"
case "$*" in
  *"enable --now"*|*" start "*)
    [ -e "$unit" ] || exit 1
    command=$(sed -n 's/^ExecStart=//p' "$unit")
    (while :; do
      sh -c "exec $command" & echo $! > "$0.pid"; wait $! && break; sleep 0.1
    done) > /dev/null 2>&1 &
    ;;
  *"disable --now"*) kill "$(cat "$0.pid")" ;;
  *show*) cat "$0.pid" 2> /dev/null || echo 0 ;;
esac
"""


def with_systemctl(user: User, folder: Path) -> User:
    """The user with the stand-in first on PATH, and with HOME and configuration below `folder`."""
    program = folder / "bin" / "systemctl"
    program.parent.mkdir(parents=True)
    program.write_text(_SCRIPT)
    program.chmod(0o755)
    own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    return User(user.home, {**user.settings, **own, "PATH": f"{program.parent}:{os.environ['PATH']}"})
