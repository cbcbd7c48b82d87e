"""A process that pushes adapters, each push in a child that a test can kill at any moment.

Lines on stdin: HOME GROUP ACCOUNT SHARE once, then for each push NAME FOLDER, and later an empty one. Lines
on stdout: the child's process id and, after the empty line, its exit status.
Everything is imported before the first child starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from azure.storage.fileshare import ShareClient

from remora.adapters.hash_cache import HashCache
from remora.adapters.peft.inspect import inspect_adapter
from remora.azure.profile import Clients, load_profile
from remora.azure.provisioning.groups import list_subscriptions
from remora.azure.share.files import Share
from remora.rollout.share.adapter_versions import AdapterVersions

assert ShareClient  # imported here, so that no child has to


def main() -> None:
    home, group, account, share = sys.stdin.readline().split()
    for line in sys.stdin:
        name, folder = line.split()
        child = os.fork()
        if child == 0:
            push(Path(home), Share(clients(Path(home)), group, account, share), name, Path(folder))
            os._exit(0)
        say(child)
        sys.stdin.readline()  # until then a child that has ended keeps its number
        say(os.waitpid(child, 0)[1])


def clients(home: Path) -> Clients:
    found = Clients(load_profile("local", home))
    return found.for_subscription(list_subscriptions(found)[0][0])


def push(home: Path, share: Share, name: str, folder: Path) -> None:
    adapter = inspect_adapter(name, folder, None)
    AdapterVersions(share).push(adapter, HashCache(home / "hashes.json"), lambda *_: None)


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
