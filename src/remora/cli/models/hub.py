"""A base model from the Hugging Face hub into its cache on this machine: what, how much, the download.

The one file that talks to the hub, through huggingface_hub, which keeps to HF_TOKEN, HF_ENDPOINT, HF_HOME and
HF_HUB_OFFLINE and goes on where a download was interrupted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remora.cli.output.console import Output
from remora.errors import (
    BaseMissing,
    CloudUnavailable,
    ProjectIncomplete,
    RemoraError,
    SignInRequired,
    disk_error,
    said,
)
from remora.project.files.json_file import read_object
from remora.project.model_kind import why_no_base
from remora.project.workspace import MODEL_CONFIG, NOT_OF_THE_MODEL

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

_SETTINGS = (".json", ".model", ".jinja", ".txt")
_NAME_IT = "name a folder that has it: remora init --base PATH"


def download_base(missing: BaseMissing, out: Output, *, flag: str = "") -> Path:
    """Ask, download and return the folder in the cache. `flag` is what a command must say of the base again.

    Raises BaseMissing where nobody says yes, and where the hub has no such model or nothing that is served;
    SignInRequired where the model is for those who accepted its conditions; CloudUnavailable.
    """
    hub_id, revision = missing.hub_id or "", missing.revision or None
    with out.step(f"asking the Hugging Face hub for {hub_id}") as say, _told(hub_id):
        _check_kind(hub_id, revision)
        files = [file for file in _listed(hub_id, revision) if _belongs(file.filename)]
        absent = [file for file in files if file.will_download]
        size = sum(file.file_size or 0 for file in absent)
        what = f"{hub_id}: {len(absent)} files, {size:,} bytes"
        say(what)
    if not any(file.filename.endswith(".safetensors") for file in files):
        raise ProjectIncomplete(f"{hub_id} has no safetensors weights on the hub", hint=_NAME_IT)
    if not _accepted(f"Download the base model {what}?", out):
        raise BaseMissing(
            f"the base model {hub_id} is not on this machine: {len(absent)} files, {size:,} bytes",
            hint=f"download it with: remora init --yes{flag}",
            hub_id=hub_id,
        )
    with out.step(f"downloading {what}") as say, _told(hub_id):
        return _fetched(hub_id, revision, [file.filename for file in files], say.now)


def _accepted(question: str, out: Output) -> bool:
    return out.assume_yes or (out.asks and out.agrees(question, default=False))


def _check_kind(hub_id: str, revision: str | None) -> None:
    """A checkpoint that is not served is refused by its settings, before its weights come."""
    from huggingface_hub import hf_hub_download

    config = Path(hf_hub_download(hub_id, MODEL_CONFIG, revision=revision, tqdm_class=_bar(lambda _: None)))
    if refusal := why_no_base(read_object(config), name=hub_id):
        what, hint = refusal
        raise ProjectIncomplete(f"{hub_id} {what}", hint=f"{hint}: remora init --base PATH")


def _listed(hub_id: str, revision: str | None) -> list[DryRunFileInfo]:
    from huggingface_hub import snapshot_download

    listed = snapshot_download(hub_id, revision=revision, dry_run=True, tqdm_class=_bar(lambda _: None))
    return listed if isinstance(listed, list) else []


def _belongs(name: str) -> bool:
    """Weights that transformers reads, settings and tokenizer; no pickles, no other formats, no code."""
    if "/" in name or name in NOT_OF_THE_MODEL:
        return False
    return name.endswith(_SETTINGS) or (name.startswith("model") and name.endswith(".safetensors"))


def _fetched(hub_id: str, revision: str | None, names: list[str], say: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_id, revision=revision, allow_patterns=names, tqdm_class=_bar(say)))


def _bar(say: Callable[[str], None]) -> Any:
    """A progress bar of huggingface_hub's that prints nothing, and says how far it is."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class ProgressBar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **given: Any) -> None:
            given.pop("name", None)  # huggingface_hub's own
            super().__init__(*args, **{**given, "file": io.StringIO(), "mininterval": 1.0})

        def display(self, *_args: Any, **_given: Any) -> bool:
            if self.unit == "B" and self.total:
                say(f"{self.n:,} of {self.total:,} bytes")
            return True

    return ProgressBar


@contextmanager
def _told(hub_id: str) -> Iterator[None]:
    """What huggingface_hub raises, as errors of ours."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise BaseMissing(
            f"the base model {hub_id} is not on this machine, nor is huggingface_hub, which downloads it",
            hint=f"install it with: pip install 'remora[serve]'; or {_NAME_IT}",
        ) from None
    try:
        yield
    except RemoraError:
        raise
    except (errors.GatedRepoError, errors.LocalTokenNotFoundError) as error:
        raise SignInRequired(
            f"{hub_id} is for those who accepted its conditions: {said(error)}",
            hint="accept them on the model's page, and set HF_TOKEN to a token of yours",
            param="HF_TOKEN",
        ) from error
    except errors.LocalEntryNotFoundError as error:  # offline, or no connection
        raise _unreachable(hub_id, error) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise BaseMissing(
            f"{hub_id} is no model that the Hugging Face hub shows: {said(error)}", hint=_NAME_IT
        ) from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError, _http_error()) as error:
        raise disk_error(error) or _unreachable(hub_id, error) from error


def _unreachable(hub_id: str, error: Exception) -> CloudUnavailable:
    return CloudUnavailable(
        f"{hub_id} cannot be had from the Hugging Face hub: {said(error)}",
        hint=f"try again where there is a network, without HF_HUB_OFFLINE; or {_NAME_IT}",
    )


def _http_error() -> type[Exception]:
    import httpx

    return httpx.HTTPError
