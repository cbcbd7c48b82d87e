"""`reference/environment.md`: the environment variables that one may set, and those that Remora sets."""

from __future__ import annotations

from typing import Final

from scripts.reference.table import code, table

from remora.project.settings import OPTIONS

HEAD = """# Environment variables

Made from the code by `make docs`; a test finds a variable that the code reads and this page lacks.

```sh
REMORA_OUTPUT=json remora status my-folder
```
Every setting of `remora.toml` has a variable, too: `REMORA_`, then its name with `_` in place of `.`, in
capitals, such as `REMORA_SERVE_DTYPE` for `dtype` under `[serve]`. [remora.toml](settings.md) lists them
all. Flags win over variables, variables over `remora.toml`.
"""
TABLES: Final[dict[str, dict[str, str]]] = {
    "Commands": {
        "REMORA_HOME": "Where Remora keeps its state, such as the local cloud. Default: `~/.remora`.",
        "REMORA_OUTPUT": "Default of `--output`: `human`, `json` or `jsonl`.",
        "REMORA_DEBUG": "`1` prints the traceback of an error.",
        "REMORA_API_KEY": "The API keys that `serve` asks for, one a line; the key for `golden check --url`.",
        "REMORA_API_KEY_FILE": "A file of API keys, one a line; read again when it changes.",
        "REMORA_ADMIN_KEY": "The admin key that `serve` asks for on the adapter routes.",
        "REMORA_VLLM": "The program of vLLM. Default: `vllm` in the PATH.",
        "REMORA_CPU_LEVEL": "The instruction set of native layers, to try a lower one: `AVX512`, `AVX2` "
        "or `SCALAR`.",
        "PORT": "Default of `serve --port`, and the port of a container.",
        "CXX": "The C++ compiler of the native layers, where no built-in ones fit.",
        "XDG_CACHE_HOME": "Where native layers that were compiled or unpacked are kept. Default: `~/.cache`.",
        "XDG_CONFIG_HOME": "Where `cloud install` writes its unit for systemd. Default: `~/.config`.",
    },
    "Azure": {
        "AZURE_SUBSCRIPTION_ID": "Default of `--subscription`.",
        "AZURE_RESOURCE_GROUP": "Default of `--resource-group`.",
        "AZURE_LOCATION": "Default of `--location`.",
        "AZURE_DEFAULTS_LOCATION": "The region that is proposed for a new group, as the Azure CLI has it.",
        "AZURE_CLIENT_ID": "Signs in without `az login`, with `AZURE_TENANT_ID` and a secret, certificate or "
        "token: whatever `azure-identity` reads.",
        "AZURE_TENANT_ID": "The tenant for that.",
    },
    "Base models": {
        "HF_TOKEN": "The token for models that are not public.",
        "HF_HOME": "The folder of Hugging Face's cache.",
        "HF_HUB_CACHE": "The folder of the models in it.",
        "HUGGINGFACE_HUB_CACHE": "The former name of that variable.",
        "HF_ENDPOINT": "Another address of the hub.",
        "HF_HUB_OFFLINE": "`1` downloads nothing.",
    },
    "Traces": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "Where traces are sent (`remora[otel]`); without it, nowhere.",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "The same, for traces only.",
        "OTEL_SERVICE_NAME": "The endpoint's name in them. Default: `remora`.",
        "OTEL_SDK_DISABLED": "`true` sends nothing.",
    },
    "Set by Remora": {
        "OPENAI_BASE_URL": "Printed by `remora env`: the endpoint with `/v1`.",
        "OPENAI_API_KEY": "Printed by `remora env --with-key`, or read by `--export`.",
        "OPENAI_MODEL": "Printed by `remora env`: the first adapter.",
        "REMORA_MODELS": "Printed by `remora env`: all models, separated by commas.",
        "REMORA_FRONT_OF": "In the front's container: the address of the model's app. A deploy sets it.",
        "REMORA_FRONT_WAIT_SECONDS": "In the front's container: `scale.front_wait_seconds`.",
        "REMORA_RELEASE": "In a container: the release that the revision runs.",
        "REMORA_SHARE_URL": "In a container without a mounted share: the share's URL, from which it pulls.",
        "REMORA_SHARE_IDENTITY": "In such a container: the client id of the identity that reads the share.",
        "REMORA_BOOTSTRAP": "In such a container: the script that fetches the release.",
        "REMORA_ADAPTERS": "In a container: the set of adapters that the revision starts with.",
        "REMORA_WORKSPACE": "In a container with a program of yours: the content that the revision runs.",
        "REMORA_SECRETS": "In a container: changes with each change of a secret.",
        "REMORA_HOST": "In a container of the local cloud: the address to listen on.",
        "REMORA_MOUNT": "In a container of the local cloud: where the share is, if not at `/mount`.",
        "REMORA_INSIDE_PIP": "In a container of the local cloud: a pip that was started by another pip.",
        "CONTAINER_APP_REPLICA_NAME": "In a container: the replica's name, set by the cloud.",
        "CONTAINER_APP_PORT": "In a container on Azure: the port, if there is no `PORT`.",
        "REMORA_LOCAL_ARM_URL": "Printed by `remora cloud env`: Resource Manager of the local cloud.",
        "REMORA_LOCAL_ARM_TLS_URL": "The same, over HTTPS.",
        "REMORA_LOCAL_FILES_TLS_URL": "The URL of Azure Files over HTTPS.",
        "REMORA_LOCAL_FILES_URL": "Printed by `remora cloud env`: Azure Files of the local cloud.",
        "REMORA_LOCAL_TOKEN": "Printed by `remora cloud env`: the token of the local cloud.",
        "IDENTITY_ENDPOINT": "Printed by `remora cloud env`: where `az login --identity` gets a token.",
        "IDENTITY_HEADER": "Printed by `remora cloud env`: the header for that.",
    },
}
VARIABLES: Final[frozenset[str]] = frozenset(
    {name for rows in TABLES.values() for name in rows} | {option.variable for option in OPTIONS}
)


def environment_page() -> str:
    parts = [HEAD]
    for title, rows in TABLES.items():
        parts.append(f"## {title}\n")
        parts.append(table(("Variable", "Meaning"), [(code(name), text) for name, text in rows.items()]))
    return "\n".join(parts)
