"""What tests of storage inherit: where the account is, credentials, names and random bytes."""

from __future__ import annotations

import itertools
import math
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
    token: str = generate_account_sas(
        account_name="test",
        account_key=os.environ["STORAGE_ACCOUNT_KEY"],
        resource_types=ResourceTypes(object=True),
        permission=AccountSasPermissions(read=True, list=True),
        start=datetime.now(UTC) - timedelta(hours=24),
        expiry=datetime.now(UTC) + timedelta(days=8),
    )
    return token


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
        self._assert_progress(size, math.ceil(size / chunk), progress)
        assert {told for _, told in progress} == {None if unknown_size else size}

    def assert_download_progress(
        self, size: int, chunk: int, first: int, progress: list[tuple[int, int]]
    ) -> None:
        self._assert_progress(size, 1 + math.ceil(max(0, size - first) / chunk), progress)

    def _assert_progress(self, size: int, requests: int, progress: list[tuple[int, Any]]) -> None:
        """One report for each request. Requests run at the same time, so a report knows only those of the
        others that were complete when it was sent."""
        assert len(progress) == requests
        assert all(0 < current <= size for current, _ in progress)

    def assertNamedItemInContainer(self, container: Iterable[Any], name: str, message: object = None) -> None:  # noqa: N802
        assert any(name in _names(item) for item in container), message or f"{name} is not listed"


def _names(item: Any) -> tuple[object, ...]:
    """What an item is found by: a share has a name, its snapshot a time too."""
    return (item, getattr(item, "name", None), getattr(item, "snapshot", None))
