"""`remora adapters convert`: an adapter's `adapter_model.bin` as safetensors, by a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from remora.adapters.peft.lora_tensors import WEIGHTS_FILE
from remora.cli.output.console import Mode, Output, OutputOption
from remora.errors import AdapterRejected, NotFound

PICKLES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
SECONDS = 600
# What a process needs to find Python and torch; no keys, tokens or settings.
_PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")

FolderArgument = Annotated[Path, typer.Argument(help="The adapter's folder.")]


def convert(path: FolderArgument, *, output: OutputOption = Mode.HUMAN) -> None:
    """Write an adapter's pickled weights as safetensors beside them; the pickle stays as it is."""
    out = Output(output)
    target = path / WEIGHTS_FILE
    if target.exists():
        out.result("adapters.convert", _document(path, None, 0), f"{target} is there already")
        return
    pickle = next((path / name for name in PICKLES if (path / name).is_file()), None)
    if pickle is None:
        raise NotFound(
            f"{path} has neither {WEIGHTS_FILE} nor {PICKLES[0]}", hint="name the folder that PEFT saved"
        )
    with out.step(f"converting {pickle}") as say:
        tensors = _converted(pickle, target)
        say(f"wrote {target}: {tensors} tensors, {target.stat().st_size:,} bytes")
    out.result("adapters.convert", _document(path, pickle, tensors), str(target))


def child_environment() -> dict[str, str]:
    """What a process that reads files of others is given of this one's environment."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _document(path: Path, pickle: Path | None, tensors: int) -> dict[str, object]:
    return {
        "path": str(path),
        "from": pickle.name if pickle else None,
        "wrote": WEIGHTS_FILE if pickle else None,
        "tensors": tensors,
    }


def _converted(pickle: Path, target: Path) -> int:
    """Into a file of another name first: a conversion that is killed leaves no half of an adapter."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    command = [sys.executable, "-I", "-m", "remora.engine.torch.unpickle", str(pickle), str(partial)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=child_environment(), timeout=SECONDS
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["the process was ended"])[-1]
            raise AdapterRejected(
                f"{pickle} cannot be converted: {why}",
                hint="save the adapter with safe_serialization=True where it was trained",
            )
        partial.replace(target)
        return int(done.stdout.split()[-1])
    except subprocess.TimeoutExpired:
        raise AdapterRejected(
            f"{pickle} was not read within {SECONDS} seconds", hint="copy it again from where it was trained"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
