"""`remora` called within the test's own process: as much of a command as a test can run cheaply."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.command import PLAIN_REPLICAS, Ran

from remora.cli.main import main


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a Remora home of their own, who runs one command after the other."""

    home: Path

    def run(self, *arguments: str, output: str = "json") -> Ran:
        """The exit code, the document and what was printed on stderr."""
        code, stdout, stderr = self.printed(*arguments, output=output)
        return Ran(code, json.loads(stdout) if stdout.strip() else {}, stderr)

    def printed(self, *arguments: str, output: str = "human") -> tuple[int, str, str]:
        """The exit code, and both streams as text."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
            for name, value in {**PLAIN_REPLICAS, "REMORA_HOME": str(self.home)}.items():
                patch.setenv(name, value)
            patch.setenv("REMORA_OUTPUT", output)
            patch.setenv("COLUMNS", "200")
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        assert isinstance(ended.value.code, int)
        return ended.value.code, stdout.getvalue(), stderr.getvalue()
