"""The adapters that this replica serves, while they change. Owns loading beside, the swap and what failed.

Knows neither where adapters come from (`reconcile`, `adapters`) nor what a name means (`AdapterRegistry`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.aliases import Alias
from remora.adapters.model_set import remark_notes
from remora.adapters.registry import AdapterRegistry
from remora.adapters.text.text_files import sampling_note
from remora.engine.base import Engine
from remora.errors import AdapterRejected, InvalidInput, ModelNotFound, RemoraError, disk_error
from remora.server.roster.proving import Prover

RETRY_SECONDS = 15.0  # a share can be out of reach for a while; a broken adapter stays broken
MOST_PREVIOUS = 8  # former versions that are loaded at once: as many as one comparison can ask for

logger = logging.getLogger(__name__)

OpenAdapter = Callable[[str, Digest], Adapter]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a digest is not served though an alias points to it."""

    digest: Digest
    reason: str
    retry_at: float  # of the monotonic clock


class Roster:
    """Keeps engine and registry in step. Everything but loading runs on the event loop, one change at a time.

    What fails to load leaves what was served before, and is told in `problems`.
    """

    def __init__(
        self,
        engine: Engine,
        models: AdapterRegistry,
        report: Report = lambda _: None,
        prover: Prover | None = None,
    ) -> None:
        self.engine = engine
        self.models = models
        self.prover = prover or Prover(engine)
        self.generation = 0
        self.problems: Mapping[str, Problem] = MappingProxyType({})
        self._report = report
        self._by_hand: set[str] = set()
        self._previous: Mapping[str, Digest] = MappingProxyType({})
        self._loaded_previous: list[Adapter] = []  # the one that was loaded last comes last
        self._open: OpenAdapter | None = None
        self._changing = asyncio.Lock()

    async def follow(self, generation: int, aliases: Mapping[str, Alias], opened: OpenAdapter) -> None:
        """Serve what these aliases point to, and what was loaded by hand under other names."""
        async with self._changing:
            served = {adapter.name: adapter for adapter in self.models.adapters}
            problems: dict[str, Problem] = {}
            following: dict[str, Adapter] = {}
            for name, alias in aliases.items():
                adapter, problem = await self._bring(name, alias, served.get(name), opened)
                if adapter is not None:
                    following[name] = adapter
                if problem is not None:
                    problems[name] = problem
            self._previous = {name: one.previous for name, one in aliases.items() if one.previous}
            self._open = opened
            self._by_hand -= aliases.keys()
            kept = [served[name] for name in self._by_hand]
            self.generation, self.problems = generation, MappingProxyType(problems)
            self._swap((*following.values(), *kept))

    async def bring(self, model: str) -> None:
        """Load the former version of an adapter if `model` names one and it is not loaded; else a no-op.

        Its share says which version that is. Raises AdapterRejected if it cannot be loaded.
        """
        name = self.models.named_previous(model)
        if name is None or self._has_previous(name):
            return
        async with self._changing:
            digest, opened = self._previous.get(name), self._open
            if digest is None or opened is None or self._has_previous(name):
                return
            self._swap(self.models.adapters, [await self._admit(lambda: opened(name, digest))])

    async def add(self, name: str, opened: Callable[[], Adapter]) -> Adapter:
        """Serve an adapter that was loaded by hand. Raises AdapterRejected or InvalidInput."""
        async with self._changing:
            others = [each for each in self.models.adapters if each.name != name]
            if name in self.models.names and name not in self._by_hand:
                raise InvalidInput(
                    f"{name!r} is served already, and what it means is not this replica's to change",
                    hint=f"to change it on every replica: remora adapters push {name} PATH",
                    param="lora_name",
                )
            adapter = await self._admit(opened)
            self._by_hand.add(name)
            self._swap((*others, adapter))
            return adapter

    async def remove(self, name: str) -> None:
        """Stop serving what was loaded by hand. Raises ModelNotFound or InvalidInput."""
        async with self._changing:
            if name in self._by_hand:
                self._by_hand.remove(name)
                self._swap([each for each in self.models.adapters if each.name != name])
                return
            if name in self.models.names:
                raise InvalidInput(
                    f"{name!r} was not loaded by hand: an alias of the endpoint points to it",
                    hint=f"to remove it from every replica: remora adapters rm {name}",
                    param="lora_name",
                )
            raise ModelNotFound(
                f"no adapter {name!r} is loaded", hint="see GET /v1/models", param="lora_name"
            )

    def _has_previous(self, name: str) -> bool:
        return self._previous.get(name) in {each.digest for each in self._loaded_previous}

    async def _bring(
        self, name: str, alias: Alias, served: Adapter | None, opened: OpenAdapter
    ) -> tuple[Adapter | None, Problem | None]:
        """What to serve under a name from now on, and what is wrong with what should be."""
        if served is not None and served.digest == alias.digest:
            return served, None
        known = self.problems.get(name)
        if known is not None and known.digest == alias.digest and time.monotonic() < known.retry_at:
            return served, known
        try:
            return await self._admit(lambda: opened(name, alias.digest)), None
        except Exception as error:  # one adapter, whatever is wrong with it, keeps no other from being served
            problem = self._problem(name, alias.digest, error)
        if served is not None or alias.previous is None:
            return served, problem
        # A replica that starts later arrives where those are that served the previous one all along.
        previous = alias.previous
        try:
            return await self._admit(lambda: opened(name, previous)), problem
        except Exception:  # as above
            return None, problem

    async def _admit(self, opened: Callable[[], Adapter]) -> Adapter:
        """Load an adapter, and see what it changes where the policy asks for that first."""
        adapter = await asyncio.to_thread(self._load, opened)
        try:
            await self.prover.admit(adapter)
        except Exception:
            if adapter.digest not in self._loaded:
                self.engine.unload_adapter(adapter.digest)
            raise
        return adapter

    def _load(self, opened: Callable[[], Adapter]) -> Adapter:
        """In a thread: read, check and load an adapter beside those that serve."""
        try:
            adapter = opened()
        except OSError as error:  # one that lies elsewhere on the share is copied as it is opened
            if full := disk_error(error):
                raise full from error
            raise
        if adapter.name == self.models.base_name:
            raise AdapterRejected(
                f"{adapter.name!r} is the name of the base model", hint="give the adapter another name"
            )
        applied = self.engine.load_adapter(adapter)
        self._report(f"loaded {adapter.name}@{short(adapter.digest)}: {applied.modules} modules")
        sampling = sampling_note(adapter.name, adapter.generation_defaults)
        for note in (*remark_notes([adapter]), *([sampling] if sampling else [])):
            self._report(f"note: {note}")
        return adapter

    def _problem(self, name: str, digest: Digest, error: Exception) -> Problem:
        known = self.problems.get(name)
        is_fault = not isinstance(error, RemoraError | OSError)
        reason = f"{type(error).__name__}: {error}" if is_fault else str(error)
        if known is None or known.digest != digest:
            self._report(f"{name}@{short(digest)} is not served: {reason}")
            if is_fault:
                logger.error("%s@%s cannot be loaded", name, short(digest), exc_info=error)
        return Problem(digest, reason, time.monotonic() + RETRY_SECONDS)

    @property
    def _loaded(self) -> set[Digest]:
        return {each.digest for each in (*self.models.adapters, *self._loaded_previous)}

    def _swap(self, adapters: Iterable[Adapter], more_previous: Sequence[Adapter] = ()) -> None:
        """Point the names to these adapters and drop the others, former versions that are none now too.

        The race that this prevents: a request turns a name into a digest and then submits it, and in between
        the digest is unloaded. Both happen without a pause on the event loop (`Answerer.ask`), and so does
        this; and the engine finishes what was submitted before it drops the weights.
        """
        before = self._loaded
        wanted = set(self._previous.values())
        previous = [each for each in (*self._loaded_previous, *more_previous) if each.digest in wanted]
        self._loaded_previous = previous[-MOST_PREVIOUS:]
        reasons = {name: problem.reason for name, problem in self.problems.items()}
        self.models.replace(tuple(adapters), reasons, self._previous, self._loaded_previous)
        for digest in before - self._loaded:
            self._report(f"dropped {short(digest)}")
            self.engine.unload_adapter(digest)
