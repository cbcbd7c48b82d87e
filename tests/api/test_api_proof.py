"""An engine that silently ignores an adapter is found out, and the endpoint says so or refuses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.api.endpoint_builder import DEADLINE_SECONDS
from tests.api.shared_folder import SharedFolder

from remora.adapters.aliases import AliasSet
from remora.adapters.proof import ProofPolicy
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import GenerationRequest, TokenStream
from remora.engine.echo import EchoEngine
from remora.server.app import create_app
from remora.server.roster.proving import Prover
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import Roster
from remora.server.settings import ServerSettings
from remora.server.supervision import Supervisor


class ForgetfulEngine(EchoEngine):
    """Takes every adapter and applies none."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        return super().submit(replace(request, adapter=None))


class Silent(EchoEngine):
    """Tells no log-probabilities."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        return super().submit(replace(request, sampling=replace(request.sampling, top_logprobs=None)))


@pytest.fixture
def share(tmp_path: Path) -> SharedFolder:
    share = SharedFolder(tmp_path / "mount")
    share.say(AliasSet().with_alias("tone", share.put("tone", 1)))
    return share


async def served(share: SharedFolder, engine: EchoEngine, policy: ProofPolicy) -> tuple[Roster, list[str]]:
    said: list[str] = []
    models = AdapterRegistry("tone-base", ())
    roster = Roster(engine, models, said.append, Prover(engine, policy, said.append))
    await Reconciler(roster, share.models()).reconcile()
    return roster, said


@pytest.mark.parametrize(
    ("engine", "state"),
    [(EchoEngine, "proven"), (ForgetfulEngine, "unproven"), (Silent, "unknown")],
)
async def test_the_endpoint_tells_of_each_adapter_whether_it_is_applied(
    share: SharedFolder, engine: type[EchoEngine], state: str
) -> None:
    roster, said = await served(share, engine(), ProofPolicy.WARN)
    app = create_app(roster.engine, roster.models, ServerSettings(chat_page=False), roster=roster)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        cards = (await http.get("/v1/models")).json()["data"]
        assert cards[1]["adapter"]["proof"] == {"state": "pending"}
        proving = asyncio.create_task(Supervisor([roster.prover.task(roster.models)]).run())
        async with asyncio.timeout(DEADLINE_SECONDS):
            while roster.prover.told(roster.models.adapters[0].digest)["state"] == "pending":  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        proving.cancel()
        proof = (await http.get("/v1/models/tone")).json()["adapter"]["proof"]
    assert proof["state"] == state
    assert any("changes nothing that can be seen" in line for line in said) == (state == "unproven")
    if state == "proven":
        assert proof["changed_tokens"] > 0


async def test_an_adapter_without_effect_is_refused_where_the_policy_says_so(share: SharedFolder) -> None:
    roster, _ = await served(share, ForgetfulEngine(), ProofPolicy.REFUSE)
    assert roster.models.adapters == ()
    assert "was not seen to change" in roster.problems["tone"].reason
    assert roster.engine.stats().adapters == ()
    roster, _ = await served(share, EchoEngine(), ProofPolicy.REFUSE)
    assert [adapter.name for adapter in roster.models.adapters] == ["tone"]
    assert roster.prover.told(roster.models.adapters[0].digest)["state"] == "proven"


async def test_switched_off_nothing_is_measured(share: SharedFolder) -> None:
    engine = ForgetfulEngine()
    roster, _ = await served(share, engine, ProofPolicy.OFF)
    await roster.prover.measure_new(roster.models)
    assert roster.prover.told(roster.models.adapters[0].digest) == {"state": "off"}
    assert engine.stats().steps == 0
