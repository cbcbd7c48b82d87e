"""Ports for containers: each is one replica's from before it starts until it has ended.

A port that is only looked for and let go could be handed out twice before anybody listens there. They are
taken from below the range that systems give to connections, so no connection gets one in between; where
another program takes one, the replica ends, and its next start has another port.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Sequence
from typing import Final

RANGE: Final = range(20_000, 32_000)


class FreePorts:
    def __init__(self, ports: Sequence[int] = RANGE) -> None:
        self._ports = ports
        self._reserved: set[int] = set()
        self._looking = threading.Lock()

    def reserve(self, address: str) -> int:
        """A port where nobody listens and that nobody else was given. Raises OSError where there is none."""
        start = random.randrange(len(self._ports))  # noqa: S311 - so that two clouds seldom try the same
        with self._looking:  # else two that look at once find the same one
            for at in range(len(self._ports)):
                port = self._ports[(start + at) % len(self._ports)]
                if port not in self._reserved and _is_free(address, port):
                    self._reserved.add(port)
                    return port
        raise OSError(f"no port from {self._ports[0]} to {self._ports[-1]} is free on {address}")

    def give_back(self, port: int) -> None:
        """A port that is not reserved is a no-op."""
        self._reserved.discard(port)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
