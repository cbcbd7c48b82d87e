"""`remora serve`: the endpoint of a folder on this machine, in the foreground, without any cloud."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.output import Output
from remora.errors import InvalidInput

GRACE_SECONDS = 3  # an open page must not hold up Ctrl+C for long

app = typer.Typer(add_completion=False)

FolderArgument = Annotated[Path, typer.Argument(help="The project's folder.", show_default="this folder")]
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="Port; 0 takes any.")]
NoAuthOption = Annotated[bool, typer.Option("--no-auth", help="Ask for no API key (this machine only).")]
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--api-key-file", help="File with API keys, one a line; over REMORA_API_KEY."),
]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32 or bfloat16; default: remora.toml's.")]
EngineOption = Annotated[str, typer.Option(hidden=True)]


@app.command(epilog="Example: remora serve examples/tone")
def serve(
    folder: FolderArgument = Path(),
    *,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    no_auth: NoAuthOption = False,
    api_key_file: KeyFileOption = None,
    dtype: DtypeOption = None,
    engine: EngineOption = "torch",
) -> None:
    """Serve a folder's base model and adapters: an OpenAI-compatible API at /v1, a chat page at /."""
    from remora.adapters.model_set import models_of_project
    from remora.project.settings import load_settings
    from remora.server.engines import EngineSettings, load_engine
    from remora.server.serving import bind
    from remora.server.serving import serve as serve_models
    from remora.server.settings import ServerSettings

    out = Output()
    environment = dict(os.environ) | ({"REMORA_SERVE_DTYPE": dtype} if dtype else {})
    settings = load_settings(folder, environment)
    keys = _api_keys(host, no_auth, api_key_file, out)
    listener = bind(host, port)
    engine_settings = EngineSettings(
        dtype=settings.serve.dtype,
        max_running_requests=settings.serve.max_running_requests,
        max_queued_requests=settings.serve.max_queued_requests,
    )
    server_settings = ServerSettings(api_keys=keys, graceful_shutdown_seconds=GRACE_SECONDS)
    with listener:
        serve_models(
            listener,
            models_of_project(settings),
            lambda models: load_engine(engine, models.base_path, engine_settings),
            server_settings,
            out.note,
        )


def _api_keys(host: str, no_auth: bool, key_file: Path | None, out: Output) -> tuple[str, ...]:
    from remora.server.auth import is_loopback
    from remora.server.keys import kept_key, keys_from_environment, keys_from_file

    if no_auth and key_file is not None:
        raise InvalidInput("--no-auth and --api-key-file exclude each other", param="--no-auth")
    if no_auth and not is_loopback(host):
        raise InvalidInput(
            f"--no-auth would let everyone who reaches {host} use the endpoint",
            hint="leave --host out, or serve with an API key",
            param="--no-auth",
        )
    if no_auth:
        return ()
    if key_file is not None:
        return keys_from_file(key_file)
    if keys := keys_from_environment(os.environ):
        return keys
    kept = _home() / "serve.key"
    keys = kept_key(kept)
    out.note(f"API key: in {kept}")
    return keys


def _home() -> Path:
    return Path(os.environ.get("REMORA_HOME") or Path.home() / ".remora")
