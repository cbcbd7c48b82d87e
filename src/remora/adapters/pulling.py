"""What a replica pulls from its share before it serves: the base model. Uses the standard library only.

`start.py` of a release calls it, from the release's own code, where no package is installed yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from remora.adapters.digest import folder_digest
from remora.adapters.mirror.mirror import Mirror, Tell
from remora.adapters.store import model_folder, read_release
from remora.errors import InvalidFile, NotOffered, ProjectIncomplete

ATTEMPTS = 5
PAUSE_SECONDS = 10.0


def pull_base(
    mirror: Mirror, release_id: str, tell: Tell, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Have the base model of a release, with the digest that the release names; a folder that is there is.

    One that changes while it is read, or is damaged, is pulled again: a deploy may be repairing it. Raises
    InvalidFile or ProjectIncomplete after some attempts.
    """
    release = read_release(mirror.root, release_id)
    if release.base_in_place:
        raise NotOffered(
            "the base model lies on the share where a fine-tuning job left it, which needs a mounted share",
            hint="bring it into the project's folder, or allow the keys of the storage account",
        )
    folder = model_folder(release.base_digest)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if not mirror.pull(folder, "base", tell) or _is_right(mirror.root / folder, release.base_digest):
                break
            mirror.forget(folder)
            problem = InvalidFile(f"{folder} on the share is damaged", hint="run: remora adapters repair")
        except InvalidFile as error:
            problem = error
        if attempt == ATTEMPTS:
            raise problem
        tell(f"{problem.message}; pulling it again")
        sleep(PAUSE_SECONDS)
    if not (mirror.root / folder).is_dir():
        raise ProjectIncomplete(f"the base model {folder} is not on the share", hint="run: remora deploy")


def _is_right(folder: Path, digest: str) -> bool:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return folder_digest(folder, names) == digest
