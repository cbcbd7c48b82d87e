"""What tests of storage inherit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import StringIO
from types import TracebackType
from typing import Any, Self

from .testcase import StorageRecordedTestCase

__all__ = ("GenericTestProxyParametrize1", "LogCaptured", "StorageRecordedTestCase")


class GenericTestProxyParametrize1:
    """A decorator for a test with one parameter besides its accounts."""

    def __call__(self, test: Callable[..., Any]) -> Callable[..., Any]:
        return test


class LogCaptured:
    """What the SDK logs while this is open."""

    def __init__(self, test: StorageRecordedTestCase) -> None:
        del test
        self._text = StringIO()
        self._handler = logging.StreamHandler(self._text)
        self._handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self._logger = logging.getLogger("azure.storage")

    def __enter__(self) -> Self:
        self._logger.addHandler(self._handler)
        self._before = self._logger.level
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._before)

    def getvalue(self) -> str:
        return self._text.getvalue()
