"""What recorded names are called here: revisions, replicas, hosts, keys and operations get new ones."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

GIVEN_NAMES: Final = re.compile(r"[a-z][a-z0-9-]*--[a-z0-9]{7}(-[a-z0-9]{8,10}-[a-z0-9]{5})?")
HOST_KEYS: Final = ("fqdn", "latestRevisionFqdn")
NAMES_OF_TIMES: Final = ("snapshotTime",)


class Bindings:
    """Learns from pairs of answers, and rewrites recorded text into ours."""

    def __init__(self, subscription: tuple[str, str]) -> None:
        self._names: dict[str, str] = dict([subscription])
        self._operations: dict[str, str] = {}
        self.token: str | None = None

    def learn(self, recorded: Any, ours: Any) -> None:
        """Walk both bodies and note what each given name, host and token is called here."""
        if isinstance(recorded, dict) and isinstance(ours, dict):
            for key, value in recorded.items():
                if key in ours:
                    self._learn_value(key, value, ours[key])
        elif isinstance(recorded, list) and isinstance(ours, list):
            for theirs, mine in zip(recorded, ours, strict=False):
                self.learn(theirs, mine)

    def learn_operation(self, recorded_url: str, our_url: str) -> None:
        self._operations[_kind_and_name(urlsplit(recorded_url).path)] = our_url

    def operation(self, recorded_path: str) -> str | None:
        """Where our operation is to be followed, if the path is that of a recorded one."""
        return self._operations.get(_kind_and_name(recorded_path))

    def host(self, recorded: str) -> str | None:
        return self._names.get(recorded)

    def rewrite(self, text: str) -> str:
        """Recorded text with our names; the longest first, since replicas begin with their revision."""
        for name in sorted(self._names, key=len, reverse=True):
            text = text.replace(name, self._names[name])
        return text

    def _learn_value(self, key: str, recorded: Any, ours: Any) -> None:
        if not isinstance(recorded, str) or not isinstance(ours, str):
            self.learn(recorded, ours)
        elif key in (*HOST_KEYS, *NAMES_OF_TIMES) and recorded and ours:
            self._names[recorded] = ours
        elif key == "token":
            self.token = ours
        elif GIVEN_NAMES.fullmatch(recorded) and ours:
            self._learn_name(recorded, ours)

    def _learn_name(self, recorded: str, ours: str) -> None:
        """Two recorded replicas may be one of ours; two revisions never are: one was answered late."""
        is_replica = recorded.count("-", recorded.index("--") + 2) > 0
        if is_replica or ours not in self._names.values():
            self._names.setdefault(recorded, ours)


def _kind_and_name(path: str) -> str:
    """The operation's own id, and whether its status or its result is asked for: one id has both. The rest of
    the path may have been masked by the recorder."""
    return "/".join(path.rstrip("/").lower().split("/")[-2:])
