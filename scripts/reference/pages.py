"""Which pages are made from the code, and by which function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from scripts.reference.commands import commands_page
from scripts.reference.environment import environment_page
from scripts.reference.exit_codes import exit_codes_page
from scripts.reference.http_api import http_api_page
from scripts.reference.limits import limits_page
from scripts.reference.metrics import metrics_page
from scripts.reference.settings import settings_page
from scripts.reference.share import share_page

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/commands.md": commands_page,
    "reference/settings.md": settings_page,
    "reference/environment.md": environment_page,
    "reference/exit-codes.md": exit_codes_page,
    "reference/http-api.md": http_api_page,
    "reference/metrics.md": metrics_page,
    "reference/share.md": share_page,
    "reference/limits.md": limits_page,
}
