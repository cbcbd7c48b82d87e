"""`remora adapters merge`: a base model with an adapter computed into its weights, by a child process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from remora.adapters.model_set import base_of_project
from remora.adapters.peft.base_shape import CONFIG_FILE as MODEL_CONFIG
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.lora_config import CONFIG_FILE
from remora.adapters.peft.lora_tensors import WEIGHTS_FILE
from remora.adapters.peft.other_methods import check_merges
from remora.adapters.peft.remarks import claims_another
from remora.cli.commands.adapter_convert import child_environment
from remora.cli.commands.adapter_folder import PathArgument, for_adapter
from remora.cli.models.base_option import BaseOption, prepare_base
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.step import Step
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import AdapterRejected, InvalidInput, NotFound, Refused
from remora.project.files.json_file import read_object
from remora.project.quantized_kind import layout_of

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

MismatchOption = Annotated[
    bool, typer.Option("--allow-base-mismatch", help="Merge into a base model of another name.")
]
OutOption = Annotated[
    Path, typer.Option("--out", help="The folder to write, which is empty or does not exist yet.")
]


@in_project()
def merge(
    path: PathArgument,
    folder: FolderArgument = Path(),
    *,
    target: OutOption,
    allow_base_mismatch: MismatchOption = False,
    base: BaseOption = None,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Make a base model of an adapter, where PEFT can merge it. Needs PEFT and the base model."""
    out = Output(output, assume_yes=yes)
    _check_target(target)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (path / name).is_file():
            raise NotFound(f"{path} has no {name}", hint=f"run: remora adapters convert {path}")
    config = read_object(path / CONFIG_FILE)
    check_merges(path, config)
    shape = base_of_project(for_adapter(prepare_base(folder, base, out, adapter=path), path))[1]
    if layout := layout_of(read_object(shape.path / MODEL_CONFIG)):
        raise Refused(
            f"{shape.path} is a quantized checkpoint ({layout}), into which no adapter is merged exactly",
            hint="name the original with --base",
        )
    claimed = config.get("base_model_name_or_path")
    if isinstance(claimed, str) and claims_another(claimed, shape) and not allow_base_mismatch:
        raise AdapterRejected(
            f"{path} was trained on {claimed!r}, but the base model is {shape.names[0]!r}",
            hint="name the base model with --base, or merge it into this one with --allow-base-mismatch",
        )
    with out.step(f"merging {path} into {shape.path}") as say:
        _merged(path, shape, target, say)
        size = sum(file.stat().st_size for file in target.iterdir())
        say(f"wrote {target}: {size:,} bytes; serve it as a base model, without this adapter")
    document = {"path": str(path), "base": str(shape.path), "wrote": str(target), "bytes": size}
    out.result("adapters.merge", document, str(target))


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInput(f"{target} exists and is not empty", hint="name another folder", param="--out")


def _merged(path: Path, base: BaseShape, target: Path, step: Step) -> None:
    """Into a folder of another name first: a merge that is killed leaves no half of a model."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
    ):
        made = Path(work) / "model"
        command = [sys.executable, "-I", "-m", "remora.engine.torch.merge"]
        with subprocess.Popen(
            [*command, str(base.path.resolve()), str(path.resolve()), str(made)],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=child_environment() | OFFLINE,
        ) as child:
            for line in child.stdout or ():
                step.now(line.strip())
        if child.returncode:
            complaints.seek(0)
            why = (complaints.read().strip().splitlines() or ["the process was ended"])[-1]
            raise AdapterRejected(
                f"{path} cannot be merged into {base.path}: {why}",
                hint="train the adapter as a LoRA with PEFT",
            )
        if target.exists():
            target.rmdir()
        made.replace(target)
