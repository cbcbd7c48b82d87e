"""What tests of storage inherit: where the account is, credentials, names and random bytes."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.identity import aio
from azure.storage.fileshare import AccountSasPermissions, ResourceTypes, generate_account_sas

from azure import identity

_COUNTER = itertools.count()
_RUN = f"{int(time.time()):x}"


def generate_sas_token() -> str:
    """A token of some account; the tests that use it ask nobody."""
    return generate_account_sas(
        account_name="test",
        account_key=os.environ["STORAGE_ACCOUNT_KEY"],
        resource_types=ResourceTypes(object=True),
        permission=AccountSasPermissions(read=True, list=True),
        start=datetime.now(UTC) - timedelta(hours=24),
        expiry=datetime.now(UTC) + timedelta(days=8),
    )


class StorageRecordedTestCase:
    """What tests of storage inherit. Names differ between runs and tests, so that no test meets another's."""

    is_live = True
    is_playback_mode = False

    def is_playback(self) -> bool:
        return False

    def account_url(self, account: str, kind: str) -> str:
        del kind  # there are files only: what is asked of blobs is refused there
        return f"{os.environ['STORAGE_FILES_URL']}/{account}"

    def get_credential(self, client: type, *, is_async: bool = False) -> Any:
        kind = aio if is_async or ".aio" in client.__module__ else identity
        return kind.ManagedIdentityCredential()

    def get_resource_name(self, prefix: str) -> str:
        return f"{prefix}{_RUN}{next(_COUNTER):04x}"

    def get_random_bytes(self, size: int) -> bytes:
        return os.urandom(size)

    def get_random_text_data(self, size: int) -> str:
        return os.urandom(size // 2 + 1).hex()[:size]

    def get_datetime_variable(self, variables: dict[str, str], name: str, default: datetime) -> datetime:
        del variables, name
        return default

    def generate_sas(self, function: Callable[..., str], *args: Any, **kwargs: Any) -> str:
        return function(*args, **kwargs)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def assert_upload_progress(
        self, size: int, chunk: int, progress: list[tuple[int, int | None]], unknown_size: bool = False
    ) -> None:
        self._assert_progress(size, chunk, progress, None if unknown_size else size)

    def assert_download_progress(
        self, size: int, chunk: int, first: int, progress: list[tuple[int, int]]
    ) -> None:
        self._assert_progress(size, max(chunk, first), progress, size)

    def _assert_progress(
        self, size: int, most: int, progress: list[tuple[int, Any]], total: int | None
    ) -> None:
        done = [0, *(current for current, _ in progress)]
        assert done[-1] == size
        assert all(0 <= after - before <= most for before, after in itertools.pairwise(done))
        assert {told for _, told in progress} == {total}

    def assertNamedItemInContainer(self, container: Iterable[Any], name: str, message: object = None) -> None:  # noqa: N802
        assert any(_name(item) == name for item in container), message or f"{name} is not listed"


def _name(item: Any) -> object:
    return item if isinstance(item, str) else getattr(item, "name", None)
