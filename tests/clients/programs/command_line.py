"""What the programs that drive a command line share: how it is run, and left."""

import os
import signal
import subprocess

SECONDS = 240


def run_command(command, **options):
    """Its output, both streams. Raises AssertionError, with it, where it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout[-1500:]
    return done.stdout


def leave_when(command, begun, **options):
    """Start it, and end it, with its workers, as soon as `begun` is true of what it wrote."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **options,
    ) as process:
        seen = b""
        try:
            while not begun(seen):
                piece = process.stdout.read1()
                assert piece, seen[-1500:]
                seen += piece
        finally:
            os.killpg(process.pid, signal.SIGTERM)
