"""`reference/share.md`: what lies on the share, by the paths that the code itself uses."""

from __future__ import annotations

from typing import Final

from scripts.reference.table import code, table

from remora.adapters.adapter import Digest
from remora.adapters.in_place import IN_PLACE
from remora.adapters.starting_note import FOLDER as STARTING
from remora.adapters.store import (
    ALIASES,
    EXAMPLES,
    MANIFEST,
    ROOT,
    WORKSPACE,
    adapter_folder,
    model_folder,
    release_folder,
)
from remora.rollout.share.history import HISTORY
from remora.rollout.share.lock import LOCK
from remora.rollout.share.owner import OWNER

DIGEST: Final = Digest("DIGEST")
HEAD = f"""# The share

What Remora keeps on the Azure file share, which every replica sees at `/mount`. Made from the code by `make
docs`.

Everything is in the folder `{ROOT}`; nothing else on the share is changed, except by a program of yours. A
folder that is named by a digest never changes, and is complete before anything points to it.
`{ALIASES.name}` is replaced in one step, so a reader sees the old or the new one. `remora adapters gc`
removes what nothing points to.

`remora adapters repair` rebuilds a damaged file from the others: names from sets and history, the manifest
from the files themselves, a listing from the folder that it lists, a release's file from a release with the
same one. It puts aside what it cannot rebuild, as `FILE.damaged-TIME`, and says what follows: a replica reads
the model again, or the next deploy writes the file again. A damaged event of the history, a damaged lock, a
damaged `{OWNER.name}` and a damaged `{EXAMPLES.name}` count as none.
"""
LAYOUT: Final[dict[str, str]] = {
    f"{MANIFEST}": "What the last sync put here: path, sha256, size. Written last.",
    f"{model_folder(DIGEST)}/": "A base model.",
    f"{adapter_folder('NAME', DIGEST)}/": "An adapter.",
    f"{ALIASES}": "Which digest each name points to now, and which before.",
    f"{ROOT / 'alias-sets' / 'ID.json'}": "The names that one revision starts with.",
    f"{STARTING.as_posix()}/REPLICA.json": "How far a replica that starts has come; it goes when it serves.",
    f"{EXAMPLES}": "Prompts that the chat pages offer: the golden prompts of the project.",
    f"{release_folder('ID')}/": "What a revision runs: code, requirements, settings.",
    f"{ROOT / 'deps' / 'KEY'}/": "Wheels, kept by the first start that needs them.",
    f"{IN_PLACE / 'STAMP.json'}": "A model that a fine-tuning job left elsewhere on the share.",
    f"{IN_PLACE / 'STAMP.read.json'}": "The digest that a replica computed of it.",
    f"{HISTORY / 'TIME-ID.json'}": "Who changed what, when, and the result.",
    f"{LOCK}": "Who changes the share at this moment.",
    f"{OWNER}": "The app that the share belongs to.",
    f"{WORKSPACE}": "With a program of yours: the files that the last sync put outside of this folder.",
    f"{ROOT / 'incoming'}/": "Files of such a sync, until they are complete.",
}


def share_page() -> str:
    return f"{HEAD}\n{table(('Path', 'What it is'), [(code(path), text) for path, text in LAYOUT.items()])}"
