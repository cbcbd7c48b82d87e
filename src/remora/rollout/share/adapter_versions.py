"""The adapters on a share and their aliases: push, point, roll back, remove. Waits for no replica.

Every change holds the share's lock, and its order is safe to interrupt anywhere: first the digest's folder is
complete, then the aliases change in one step, then the history records it. Replicas follow by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.aliases import AliasSet
from remora.adapters.hash_cache import HashCache
from remora.adapters.peft.inspect import ADAPTER_FILES
from remora.adapters.store import ADAPTERS, MANIFEST, adapter_folder
from remora.azure.share.files import Share
from remora.errors import InvalidInput, NotFound, RemoraError
from remora.rollout.share import sync
from remora.rollout.share.alias_sets import commit_set, served_aliases
from remora.rollout.share.contents import adapter_files
from remora.rollout.share.history import happened, record
from remora.rollout.share.lock import HeldLock, LockTimes, locked
from remora.rollout.share.plan import Manifest, decode_manifest, encode_manifest

SHORTEST_PREFIX = 8  # characters of a digest; fewer could be ambiguous

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Changed:
    """What a command did to one name; None if the name does not exist."""

    name: str
    before: Digest | None
    after: Digest | None
    generation: int
    uploaded_files: int = 0
    uploaded_bytes: int = 0

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Version:
    """One digest of a name on the share. `state` is "current", "previous" or "unused"."""

    name: str
    digest: Digest
    state: str
    size_bytes: int


class AdapterVersions:
    """The adapters of one share.

    `served_set` is the id of the aliases that the revision with the traffic was created with. If a rollout
    was killed before it published them, they are authoritative, and a change publishes them first; otherwise
    it would undo that rollout.
    """

    def __init__(self, share: Share, served_set: str = "", times: LockTimes | None = None) -> None:
        self._share = share
        self._served_set = served_set
        self._times = times

    def aliases(self) -> AliasSet:
        """The current aliases."""
        return served_aliases(self._share, self._served_set)

    def versions(self) -> list[Version]:
        """Every complete digest of every name, the current one of each name first."""
        aliases, manifest = self.aliases(), self._manifest()
        sizes = self._share.sizes(ADAPTERS)
        found = [
            Version(name, digest, _state(aliases, name, digest), sum(_sizes_of(folder, manifest)))
            for name, digest, folder in _folders(manifest)
            if _is_complete(folder, manifest, sizes)
        ]
        order = ("current", "previous", "unused")
        return sorted(found, key=lambda each: (each.name, order.index(each.state), each.digest))

    def push(self, adapter: Adapter, hashes: HashCache, progress: Progress) -> Changed:
        """Put an adapter on the share and point its name to it; uploads only missing files."""
        wanted = adapter_files(adapter, hashes)
        with self._changing("adapters push", adapter.name) as change:
            plan = sync.prepare(change.share, wanted)
            sync.upload(change.share, plan, progress)
            return change.point(adapter.digest, len(plan.uploads), plan.upload_bytes)

    def point(self, name: str, prefix: str) -> Changed:
        """Point a new or existing name to a digest that the share has. Raises NotFound or InvalidInput."""
        with self._changing("adapters alias", name) as change:
            digest = self._bring(change.share, name, prefix)
            return change.point(digest)

    def rollback(self, name: str) -> Changed:
        """Point a name to what it pointed to before. Raises NotFound."""
        with self._changing("adapters rollback", name) as change:
            alias = self.aliases().require(name)
            if alias.previous is not None:
                self._bring(change.share, name, alias.previous)
            return change.make(lambda now: now.rolled_back(name))

    def take_back(self, changed: Changed) -> Changed:
        """Undo a change, unless the name has changed since."""
        with self._changing("adapters take back", changed.name) as change:
            return change.make(lambda now: _undone(now, changed))

    def remove(self, name: str) -> Changed:
        """Stop serving a name; its files stay until `gc`. Raises NotFound."""
        with self._changing("adapters rm", name) as change:
            return change.make(lambda now: now.without(name))

    @contextmanager
    def _changing(self, what: str, name: str) -> Iterator[_Change]:
        """Hold the lock during a change; records a failed change in the history too."""
        with locked(self._share, f"{what} {name}", self._times) as lock:
            commit_set(lock.share, served_aliases(lock.share, self._served_set))
            try:
                yield _Change(lock, what, name)
            except RemoraError as error:
                with suppress(RemoraError):
                    record(lock.share, happened(what, name, result=error.code, message=error.message))
                raise

    def _manifest(self) -> Manifest:
        return decode_manifest(self._share.read(MANIFEST))

    def _bring(self, share: Share, name: str, prefix: str) -> Digest:
        """The digest with this prefix, completed under this name by copying another name's folder."""
        if len(prefix) < SHORTEST_PREFIX:
            raise InvalidInput(
                f"{prefix!r} is too short for a digest", hint=f"give {SHORTEST_PREFIX} characters or more"
            )
        manifest, sizes = self._manifest(), self._share.sizes(ADAPTERS)
        complete = {
            (owner, digest): folder
            for owner, digest, folder in _folders(manifest)
            if digest.startswith(prefix) and _is_complete(folder, manifest, sizes)
        }
        digests = {digest for _, digest in complete}
        if len(digests) != 1:
            what = "no adapter on the share has the digest" if not digests else "several adapters begin with"
            raise NotFound(f"{what} {prefix}", hint="see: remora adapters list", param="digest")
        digest = digests.pop()
        if (name, digest) not in complete:
            _copy(share, next(iter(complete.values())), adapter_folder(name, digest), manifest)
        return digest


class _Change:
    """One change of the aliases, while the lock is held."""

    def __init__(self, lock: HeldLock, what: str, name: str) -> None:
        self.share = lock.share
        self._lock = lock
        self._what = what
        self._name = name

    def point(self, digest: Digest, uploaded_files: int = 0, uploaded_bytes: int = 0) -> Changed:
        """Point the name to a digest; changes nothing if it already points to it."""
        return self.make(
            lambda now: now if now.digests.get(self._name) == digest else now.with_alias(self._name, digest),
            uploaded_files,
            uploaded_bytes,
        )

    def make(
        self, change: Callable[[AliasSet], AliasSet], uploaded_files: int = 0, uploaded_bytes: int = 0
    ) -> Changed:
        self._lock.confirm()
        before, after = sync.change_aliases(self.share, change)
        changed = Changed(
            name=self._name,
            before=before.digests.get(self._name),
            after=after.digests.get(self._name),
            generation=after.generation,
            uploaded_files=uploaded_files,
            uploaded_bytes=uploaded_bytes,
        )
        if changed.changed:
            event = happened(self._what, self._name, before=changed.before or "", after=changed.after or "")
            record(self.share, event)
        return changed


def told(digest: Digest | None) -> str:
    """A digest as users see it."""
    return short(digest) if digest else "nothing"


def _folders(manifest: Manifest) -> Iterator[tuple[str, Digest, PurePosixPath]]:
    """Name, digest and folder of every adapter that a manifest lists."""
    for folder in sorted({path.parent for path in manifest if path.is_relative_to(ADAPTERS)}):
        parts = folder.relative_to(ADAPTERS).parts
        if len(parts) == 2:
            yield parts[0], Digest(parts[1]), folder


def _is_complete(folder: PurePosixPath, manifest: Manifest, sizes: sync.Sizes) -> bool:
    files = _files(folder, manifest)
    whole = {folder / name for name in ADAPTER_FILES} <= set(files)
    return whole and all(sizes.get(file) == manifest[file].size_bytes for file in files)


def _files(folder: PurePosixPath, manifest: Manifest) -> list[PurePosixPath]:
    return [path for path in manifest if path.is_relative_to(folder)]


def _sizes_of(folder: PurePosixPath, manifest: Manifest) -> Iterator[int]:
    return (manifest[path].size_bytes for path in _files(folder, manifest))


def _state(aliases: AliasSet, name: str, digest: Digest) -> str:
    alias = aliases.aliases.get(name)
    if alias is None:
        return "unused"
    return {alias.digest: "current", alias.previous: "previous"}.get(digest, "unused")


def _undone(now: AliasSet, changed: Changed) -> AliasSet:
    if now.digests.get(changed.name) != changed.after:
        return now
    if changed.before is None:
        return now.without(changed.name)
    return now.with_alias(changed.name, changed.before)


def _copy(share: Share, source: PurePosixPath, target: PurePosixPath, manifest: Manifest) -> None:
    files = {path: target / path.relative_to(source) for path in _files(source, manifest)}
    for path, copy in files.items():
        share.copy(path, copy)
    copied = {copy: manifest[path] for path, copy in files.items()}
    share.replace(MANIFEST, encode_manifest({**manifest, **copied}))
