"""The subjects of `remora help TOPIC`: short texts that need no network. Owns these texts.

What has a table elsewhere (settings, exit codes) is made from that table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from remora.cli.help.explanations import error_types
from remora.cli.help.setting_meanings import MEANINGS, NAMED


@dataclass(frozen=True, slots=True)
class Topic:
    """A subject: one line for the list, and the text."""

    summary: str
    text: Callable[[], str]


def _settings() -> str:
    lines = [f"{key}\n    {meaning}" for key, meaning in {**MEANINGS, **NAMED}.items()]
    return "\n".join(
        [
            "remora.toml in the project's folder. A flag wins over a variable, a variable over the file.",
            "The variable of serve.dtype is REMORA_SERVE_DTYPE, and so on.",
            "",
            *lines,
        ]
    )


def _exit_codes() -> str:
    codes: dict[int, list[str]] = {}
    for error in error_types():
        codes.setdefault(error.exit_code, []).append(error.code)
    lines = [f"{number:>4}  {', '.join(names)}" for number, names in sorted(codes.items())]
    return "\n".join(["   0  done", *lines, "", "What a code means: remora explain CODE"])


def _adapters() -> str:
    return """An adapter is a PEFT LoRA folder: adapter_config.json and adapter_model.safetensors.

remora adapters show PATH FOLDER      what is in it, and whether it fits the base model
remora adapters verify PATH FOLDER    whether it changes answers, on this machine
remora adapters push NAME PATH FOLDER add or update it, without a restart
remora adapters rollback NAME FOLDER  back to the one before
remora adapters rm NAME FOLDER        stop serving it

Clients choose an adapter by its name in `model`. Every answer names the digest of its adapter."""


def _azure() -> str:
    return """1. Sign in: az login
2. Write cloud = "azure" into remora.toml, or set REMORA_CLOUD=azure.
3. See what would be created, which changes nothing: remora plan FOLDER
4. Create it and deploy: remora up FOLDER --resource-group GROUP --location REGION

You need the role Contributor on the resource group. Clean up with: remora down FOLDER --purge
Without step 2 the same commands run on this machine, with the local cloud."""


def _keys() -> str:
    return """remora secrets FOLDER             the endpoint's key
remora keys add NAME FOLDER       a key for somebody; valid after: remora deploy FOLDER
remora keys rm NAME FOLDER        take the oldest key of that name out of use
remora keys show admin FOLDER     the key that may load and unload adapters
eval "$(remora env FOLDER --export)"   base URL, key and model for OpenAI's clients

A request sends its key as Authorization: Bearer KEY, or in the header api-key or x-api-key."""


def _golden() -> str:
    return """Golden prompts are prompts with recorded answers. A new revision is asked them without traffic;
if its answers differ, it never gets traffic (exit code 8).

remora golden record FOLDER --prompt TEXT   ask the models on this machine, and write golden.toml
remora golden check FOLDER                  ask the endpoint, and compare

Commit golden.toml. To accept new answers: remora golden record FOLDER --overwrite"""


def _completion() -> str:
    return """bash  eval "$(remora completion bash)"      in ~/.bashrc
zsh   eval "$(remora completion zsh)"       in ~/.zshrc, after compinit
fish  remora completion fish > ~/.config/fish/completions/remora.fish

Then the Tab key completes commands, flags, and the names of the adapters in the folder."""


TOPICS: Final[Mapping[str, Topic]] = {
    "adapters": Topic("what an adapter is, and how to change it", _adapters),
    "azure": Topic("the way to Azure", _azure),
    "completion": Topic("completion in bash, zsh and fish", _completion),
    "exit-codes": Topic("what a command's exit code says", _exit_codes),
    "golden": Topic("answers that must not change", _golden),
    "keys": Topic("API keys and the admin key", _keys),
    "settings": Topic("every setting of remora.toml", _settings),
}
