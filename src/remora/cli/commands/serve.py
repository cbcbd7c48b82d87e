"""`remora serve`: run the endpoint of a folder on this machine, in the foreground, without a cloud."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remora.cli.models.base_option import BaseOption, prepare_base, read_settings
from remora.cli.output.console import Output, YesOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import InvalidFile, InvalidInput

if TYPE_CHECKING:
    from remora.server.settings import ServerSettings

app = typer.Typer(add_completion=False)

HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="Port; 0 takes a free one.")]
NoAuthOption = Annotated[bool, typer.Option("--no-auth", help="Require no API key (this machine only).")]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        envvar="REMORA_API_KEY_FILE",
        help="File of API keys, one per line, as key or name:key; reloaded when it changes.",
    ),
]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32 or bfloat16; default: remora.toml's.")]
QuantizeOption = Annotated[
    str | None,
    typer.Option(help="none, or int8, int4 or nf4 weights on the torch engine; default: remora.toml's."),
]
EngineOption = Annotated[str | None, typer.Option(help="torch or vllm; default: remora.toml's.")]


@app.command(epilog="Example: remora serve examples/tone")
@in_project()
def serve(
    folder: FolderArgument = Path(),
    *,
    base: BaseOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    no_auth: NoAuthOption = False,
    api_key_file: KeyFileOption = None,
    dtype: DtypeOption = None,
    quantize: QuantizeOption = None,
    engine: EngineOption = None,
    yes: YesOption = False,
) -> None:
    """Serve a folder's base model and adapters: an OpenAI-compatible API at /v1, a chat page at /."""
    from remora.adapters.model_set import models_of_project
    from remora.server.engines import EngineSettings, load_engine
    from remora.server.listening import bind
    from remora.server.serving import serve as serve_models

    out = Output(assume_yes=yes)
    given = {
        "REMORA_SERVE_DTYPE": dtype,
        "REMORA_SERVE_QUANTIZE": quantize,
        "REMORA_SERVE_ENGINE": engine,
    }
    environment = dict(os.environ) | {name: value for name, value in given.items() if value}
    prepare_base(folder, base, out)
    settings = read_settings(folder, base=base, environment=environment)
    server_settings = _server_settings(host, no_auth, api_key_file, out)
    server_settings = replace(server_settings, adapter_roots=(settings.root,))
    listener = bind(host, port)
    serve_settings = asdict(settings.serve)
    engine_settings = EngineSettings.of(serve_settings)
    with listener:
        serve_models(
            listener,
            models_of_project(settings, base_alone=True),
            lambda models: load_engine(models.base_path, engine_settings),
            server_settings.with_serve(serve_settings),
            out.note,
            examples=lambda: _examples(settings.root),
        )


def _examples(root: Path) -> tuple[str, ...]:
    """The golden prompts as they are now; none while the file is being edited and is no TOML."""
    from remora.rollout.golden.prompts import examples_of, read_golden

    try:
        return examples_of(read_golden(root))
    except InvalidFile:
        return ()


def _server_settings(host: str, no_auth: bool, key_file: Path | None, out: Output) -> ServerSettings:
    """Which API key to require: none (--no-auth), else a file's, else REMORA_API_KEY, else a new one."""
    from remora.server.access.keys import admin_key_from_environment, keep_key, keys_from_environment
    from remora.server.settings import ServerSettings

    settings = ServerSettings(admin_keys=admin_key_from_environment(os.environ))
    if no_auth:
        _check_no_auth(host, key_file)
        return settings
    if key_file is not None:
        return replace(settings, api_key_file=key_file)
    if keys := keys_from_environment(os.environ):
        return replace(settings, api_keys=keys)
    kept = _home() / "serve.key"
    keep_key(kept)
    out.note(f"API key: in {kept}")
    return replace(settings, api_key_file=kept)


def _check_no_auth(host: str, key_file: Path | None) -> None:
    from remora.server.access.auth import is_loopback

    if key_file is not None:
        raise InvalidInput("--no-auth and --api-key-file exclude each other", param="--no-auth")
    if not is_loopback(host):
        raise InvalidInput(
            f"--no-auth would let everyone who can reach {host} use the endpoint",
            hint="leave out --host, or serve with an API key",
            param="--no-auth",
        )


def _home() -> Path:
    return Path(os.environ.get("REMORA_HOME") or Path.home() / ".remora")
