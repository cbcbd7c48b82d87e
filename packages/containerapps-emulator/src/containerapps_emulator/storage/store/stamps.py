"""Timestamps and ETags as the Azure Files service writes them, from a file's own times.

Owns no state but ChangeClock. An ETag is the last change in 100 ns ticks since year 1, as on Azure, so it
also reflects a change that a container makes without the API.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Final

_NS_PER_TICK: Final = 100
_TICKS_AT_1970: Final = 621_355_968_000_000_000
_TICKS_AT_1601: Final = 504_911_232_000_000_000
_NS_PER_SECOND: Final = 1_000_000_000


def etag(changed_ns: int) -> str:
    """`"0x8DC90E17458E275"`, quotes included."""
    return f'"0x{changed_ns // _NS_PER_TICK + _TICKS_AT_1970:X}"'


def http_date(time_ns: int) -> str:
    return formatdate(time_ns // _NS_PER_SECOND, usegmt=True)


def iso(time_ns: int) -> str:
    """UTC with seven fractional digits, the service's resolution."""
    seconds, rest_ns = divmod(time_ns, _NS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest_ns // _NS_PER_TICK:07d}Z"


def file_time(time_ns: int) -> int:
    """Windows' own time, in ticks since 1601, of which Azure makes the version of a deleted share."""
    return time_ns // _NS_PER_TICK + _TICKS_AT_1970 - _TICKS_AT_1601


def parse_iso(text: str) -> int:
    """The inverse of `iso`, for up to seven fractional digits. Raises ValueError."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if len(fraction) > 7 or (fraction and not fraction.isdecimal()):
        raise ValueError(text)
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * _NS_PER_SECOND + int(fraction.ljust(7, "0")) * _NS_PER_TICK


class ChangeClock:
    """Gives two changes of one file different change times, hence different ETags.

    File systems use the kernel's tick (up to 10 ms) for timestamps, so two quick changes could look like one.
    Call `settle` after a change and before acknowledging it, from one caller at a time.
    """

    _TRIES: Final = 20
    _FORGET_AFTER_NS: Final = _NS_PER_SECOND

    def __init__(self) -> None:
        self._last_ns: dict[int, int] = {}

    def settle(self, changed: Path | int) -> os.stat_result:
        """The file's stat, with a change time later than that of any earlier settled change."""
        stat = _stat(changed)
        last_ns = self._last_ns.get(stat.st_ino, 0)
        for _ in range(self._TRIES):  # bounded: the system's clock may have been set back
            if stat.st_ctime_ns // _NS_PER_TICK > last_ns // _NS_PER_TICK:
                break
            time.sleep(0.001)
            os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            stat = _stat(changed)
        self._remember(stat)
        return stat

    def _remember(self, stat: os.stat_result) -> None:
        if len(self._last_ns) > 1000:
            horizon_ns = stat.st_ctime_ns - self._FORGET_AFTER_NS
            self._last_ns = {inode: ns for inode, ns in self._last_ns.items() if ns > horizon_ns}
        self._last_ns[stat.st_ino] = stat.st_ctime_ns


def _stat(changed: Path | int) -> os.stat_result:
    return changed.stat() if isinstance(changed, Path) else os.fstat(changed)
