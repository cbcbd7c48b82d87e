"""A stand-in for the package with which the Azure SDK runs its tests: always live, and nothing is recorded.

`tests.conformance.sdk_file_share` puts the folder above on the path of the process that runs these tests. It
names the accounts and their URL in environment variables. Names and signatures are those that the tests of
azure-storage-file-share use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any

import pytest


def is_live() -> bool:
    """Every test asks a service."""
    return True


def recorded_by_proxy(test: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the test as it is: there is no recording."""
    return test


class Secret(str):
    """A key, in the form in which the tests read it."""

    __slots__ = ()

    @property
    def secret(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class EnvironmentVariableOptions:
    """Which values are secrets."""

    hide_secrets: list[str] = field(default_factory=list)


class EnvironmentVariableLoader:
    """A decorator that gives a test the values of the environment variables with the given names."""

    def __init__(
        self, directory: str, *, options: EnvironmentVariableOptions | None = None, **recorded: str
    ) -> None:
        del directory
        self._names = tuple(recorded)
        self._secrets = frozenset(options.hide_secrets) if options else frozenset()

    def __call__(self, test: Callable[..., Any]) -> Callable[..., Any]:
        parameters = signature(test).parameters.values()
        takes_all = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)

        @wraps(test)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return test(*args, **kwargs, **(self._values() if takes_all else {}))

        @wraps(test)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            return await test(*args, **kwargs, **(self._values() if takes_all else {}))

        return awaiting if iscoroutinefunction(test) else wrapper

    def _values(self) -> dict[str, str]:
        return {name: self._value(name) for name in self._names}

    def _value(self, name: str) -> str:
        value = os.environ[name.upper()]
        return Secret(value) if name in self._secrets else value


@pytest.fixture(scope="session", name="test_proxy")
def no_proxy() -> None:
    """The tests' conftest asks for a proxy that records."""


test_proxy = no_proxy


def _ignored(*_: Any, **__: Any) -> None:
    """What a recording hides."""


add_body_regex_sanitizer = _ignored
add_general_regex_sanitizer = _ignored
add_header_regex_sanitizer = _ignored
add_oauth_response_sanitizer = _ignored
add_remove_header_sanitizer = _ignored
add_uri_regex_sanitizer = _ignored
add_uri_string_sanitizer = _ignored
set_custom_default_matcher = _ignored
