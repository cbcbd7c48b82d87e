"""Whether the adapters that this replica serves change anything: measured once a digest, told to clients.

Owns when it is measured and what becomes of the verdict. Under "warn" it is measured in the background once
the endpoint answers, so that readiness does not wait; under "refuse" before an adapter is served at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.proof import BOUND_NATS, NEUTRAL_PROMPTS, Effect, ProofPolicy
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import Engine
from remora.engine.effect import measure_effect
from remora.errors import AdapterRejected, Overloaded, RemoraError
from remora.server.engines import EngineSettings, load_engine
from remora.server.supervision import BackgroundTask

INTERVAL_SECONDS = 0.5


class Prover:
    """Measures each digest once and remembers the result, or why it could not be measured."""

    def __init__(
        self,
        engine: Engine,
        policy: ProofPolicy = ProofPolicy.OFF,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.policy = policy
        self._engine = engine
        self._report = report
        self._found: dict[Digest, Effect | RemoraError] = {}

    async def admit(self, adapter: Adapter) -> None:
        """Under "refuse", raise AdapterRejected for an adapter that was not seen to change anything."""
        if self.policy is not ProofPolicy.REFUSE:
            return
        found = await self._measure(adapter)
        if not isinstance(found, Effect) or not found.is_proven:
            name = f"{adapter.name}@{short(adapter.digest)}"
            raise AdapterRejected(
                f"{name} was not seen to change what the base answers: {found}",
                hint='train it further, or serve it all the same with proof = "warn" under [serve]',
            )

    def task(self, models: AdapterRegistry, interval_seconds: float = INTERVAL_SECONDS) -> BackgroundTask:
        """Measure whatever comes to be served."""
        return BackgroundTask("measuring adapters", lambda: self.measure_new(models), interval_seconds)

    async def measure_new(self, models: AdapterRegistry) -> None:
        """Measure what is served and was not measured yet. One that fails keeps none of the others waiting.

        Raises what the first failure raised, so that it is tried again.
        """
        if self.policy is ProofPolicy.OFF:
            return
        failures: list[Exception] = []
        for adapter in models.adapters:
            if adapter.digest in self._found:
                continue
            try:
                await self._measure(adapter)
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def told(self, digest: Digest) -> Mapping[str, Any]:
        """The verdict on a digest for clients. `state` is proven, unproven, pending, unknown or off."""
        found = self._found.get(digest)
        if found is None:
            return {"state": "off" if self.policy is ProofPolicy.OFF else "pending"}
        if isinstance(found, RemoraError):
            return {"state": "unknown", "problem": found.message}
        return {
            "state": "proven" if found.is_proven else "unproven",
            "kl_nats_at_least": found.mean_kl_nats,
            "highest_kl_nats": found.max_kl_nats,
            "changed_tokens": found.changed_tokens,
            "tokens": found.tokens,
            "first_difference": found.first_difference,
            "prompts": found.prompts,
            "bound_nats": BOUND_NATS,
        }

    async def _measure(self, adapter: Adapter) -> Effect | RemoraError:
        """Raises Overloaded, which says nothing of the adapter: another time it can be measured."""
        found: Effect | RemoraError
        try:
            found = await measure_effect(self._engine, adapter.digest)
        except Overloaded:
            raise
        except RemoraError as error:
            found = error
        self._found[adapter.digest] = found
        if isinstance(found, Effect) and not found.is_proven:
            name = f"{adapter.name}@{short(adapter.digest)}"
            self._report(f"warning: {name} changes nothing that can be seen: {found}")
        return found


def prove_here(base_path: Path, adapter: Adapter, texts: Sequence[str]) -> Effect:
    """What an adapter changes, seen with an engine of this process; no texts are neutral prompts.

    Raises whatever loading the base model or the adapter raises.
    """
    engine = load_engine(base_path, EngineSettings())
    try:
        engine.load_adapter(adapter)
        return asyncio.run(measure_effect(engine, adapter.digest, texts or NEUTRAL_PROMPTS))
    finally:
        engine.close()
