"""AI Toolkit's `infra/inference.config.json` and `infra/finetuning.config.json`.

Owns their keys, and preserves unknown keys. An empty string means the same as null: not known yet. Never asks
a cloud.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from remora.errors import InvalidFile
from remora.project.files.json_file import change_object, read_object, type_name

INFERENCE_FILE = Path("infra/inference.config.json")
FINETUNING_FILE = Path("infra/finetuning.config.json")
SCHEME_KEY = "ACA_APP_ENDPOINT_SCHEME"
FRONT_KEY = "ACA_FRONT_NAME"

INFERENCE_KEYS = {
    "SUBSCRIPTION_ID": "subscription_id",
    "RESOURCE_GROUP_NAME": "resource_group",
    "STORAGE_ACCOUNT_NAME": "storage_account",
    "FILE_SHARE_NAME": "file_share",
    "ACA_APP_NAME": "app",
    "ACA_APP_ENDPOINT": "endpoint",
}
FINETUNING_KEYS = {
    "SUBSCRIPTION_ID": "subscription_id",
    "RESOURCE_GROUP_NAME": "resource_group",
    "STORAGE_ACCOUNT_NAME": "storage_account",
    "FILE_SHARE_NAME": "file_share",
    "ACA_JOB_NAME": "job",
}


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """The outputs of provisioning, which every later command needs. `endpoint` is a host, maybe with a port.

    Two keys are Remora's own: `endpoint_scheme` (Azure's endpoints use https, those of a local cloud http),
    and `front`, the app before the model's, if there is one; then `endpoint` is its address.
    """

    subscription_id: str | None = None
    resource_group: str | None = None
    storage_account: str | None = None
    file_share: str | None = None
    app: str | None = None
    endpoint: str | None = None
    endpoint_scheme: str | None = None
    front: str | None = None

    @property
    def url(self) -> str | None:
        """The endpoint's address. Without a scheme in the file: http on loopback, https elsewhere."""
        if self.endpoint is None:
            return None
        scheme = self.endpoint_scheme or ("http" if _is_loopback(self.endpoint) else "https")
        return f"{scheme}://{self.endpoint}"

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys that have no value yet and cannot be derived from the others."""
        needed = {key: name for key, name in INFERENCE_KEYS.items() if name != "endpoint"}
        return tuple(key for key, name in needed.items() if getattr(self, name) is None)


@dataclass(frozen=True, slots=True)
class FinetuningConfig:
    """The resources of the fine-tuning step; provisioning for inference uses the same ones."""

    subscription_id: str | None = None
    resource_group: str | None = None
    storage_account: str | None = None
    file_share: str | None = None
    job: str | None = None
    commands: tuple[str, ...] = ()


def load_inference_config(root: Path) -> InferenceConfig:
    """The config of a project; all None if the file does not exist. Raises InvalidFile."""
    path = root / INFERENCE_FILE
    if not path.exists():
        return InferenceConfig()
    document = read_object(path, comments=True)
    known = _texts(path, document, (*INFERENCE_KEYS, SCHEME_KEY, FRONT_KEY))
    scheme, endpoint = _split_endpoint(path, known["ACA_APP_ENDPOINT"], known[SCHEME_KEY])
    return InferenceConfig(
        **{name: known[key] for key, name in INFERENCE_KEYS.items() if name != "endpoint"},
        endpoint=endpoint,
        endpoint_scheme=scheme,
        front=known[FRONT_KEY],
    )


def save_inference_config(root: Path, config: InferenceConfig) -> None:
    """Set the six keys, and ours if they are known, atomically; everything else in the file stays."""
    document: dict[str, object] = {key: getattr(config, name) for key, name in INFERENCE_KEYS.items()}
    if config.endpoint_scheme is not None:
        document[SCHEME_KEY] = config.endpoint_scheme
    if config.front is not None or load_inference_config(root).front is not None:
        document[FRONT_KEY] = config.front
    change_object(root / INFERENCE_FILE, {(key,): value for key, value in document.items()})


def with_outputs(config: InferenceConfig, outputs: Mapping[str, str], *, scheme: str) -> InferenceConfig:
    """The config with a template's six outputs and the front's name, by their keys in the file."""
    merged = {key: outputs.get(key) or getattr(config, name) for key, name in INFERENCE_KEYS.items()}
    return InferenceConfig(
        **{name: merged[key] for key, name in INFERENCE_KEYS.items()},
        endpoint_scheme=scheme,
        front=outputs.get(FRONT_KEY) or None,
    )


def load_finetuning_config(root: Path) -> FinetuningConfig:
    """The fine-tuning step's config; all None if the file does not exist. Raises InvalidFile."""
    path = root / FINETUNING_FILE
    if not path.exists():
        return FinetuningConfig()
    document = read_object(path, comments=True)
    known = _texts(path, document, tuple(FINETUNING_KEYS))
    commands = document.get("COMMANDS") or []
    if not isinstance(commands, list) or not all(isinstance(command, str) for command in commands):
        raise _wrong(path, "COMMANDS", "an array of strings", commands)
    return FinetuningConfig(
        **{name: known[key] for key, name in FINETUNING_KEYS.items()},
        commands=tuple(commands),
    )


def _texts(path: Path, document: Mapping[str, object], keys: tuple[str, ...]) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    for key in keys:
        value = document.get(key)
        if value is not None and not isinstance(value, str):
            raise _wrong(path, key, "a string or null", value)
        texts[key] = (value or "").strip() or None
    return texts


def _split_endpoint(path: Path, endpoint: str | None, scheme: str | None) -> tuple[str | None, str | None]:
    """The endpoint as host and scheme. Users also fill in `https://host/`, which means the bare host."""
    if scheme not in (None, "http", "https"):
        raise InvalidFile(
            f"{path}: {SCHEME_KEY} is {scheme!r}", hint="write http, https or null", param=SCHEME_KEY
        )
    if endpoint is None:
        return scheme, None
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    usable = parts.scheme in ("", "http", "https") and parts.hostname and not parts.path.strip("/")
    if not usable or parts.username or parts.query or parts.fragment:
        raise InvalidFile(
            f"{path}: ACA_APP_ENDPOINT is {endpoint!r}, not a host name",
            hint="write only the host, as in myapp.region.azurecontainerapps.io",
            param="ACA_APP_ENDPOINT",
        )
    return parts.scheme or scheme, parts.netloc


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(f"//{endpoint}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(path: Path, key: str, wanted: str, value: object) -> InvalidFile:
    return InvalidFile(
        f"{path}: {key} is {type_name(value)}, expected {wanted}", hint=f"correct {path.name}", param=key
    )
