"""What an endpoint is asked after a change: replicas that are away, that follow, or somebody else's page."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.main import get_command

from remora.adapters.adapter import Digest
from remora.adapters.proof import Proof
from remora.cli.commands.adapters import app as adapters
from remora.cli.output.console import Output
from remora.cli.output.next_command import in_folder, next_command
from remora.cli.output.proof_lines import proof_document, unknown_proofs
from remora.errors import NotReady, VerificationFailed
from remora.rollout.endpoint import Answer, Endpoint, Json
from remora.rollout.gates.following import wait_until_followed
from remora.rollout.gates.patient import RECOVERY_SECONDS, PatientEndpoint, patience_of
from remora.rollout.gates.proving import prove_adapters
from remora.rollout.golden.prompts import Golden

MODELS = '{"data": [{"id": "base"}]}'


@contextmanager
def answering(*statuses: int, page: str = MODELS) -> Iterator[tuple[str, list[str]]]:
    """An ingress that answers with these statuses, the last one for good; its URL, and what was asked."""
    asked: list[str] = []

    class Ingress(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses[min(len(asked), len(statuses) - 1)]
            asked.append(self.path)
            body = page.encode() if status == 200 else b"{}"
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ingress) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_replica_that_is_away_for_a_moment_ends_no_gate() -> None:
    with answering(503, 502, 200) as (url, asked):
        with PatientEndpoint(url, "", patience_seconds=60) as patient:
            assert patient.models() == [{"id": "base"}]
        assert len(asked) == 3
    with answering(503, 200) as (url, _), Endpoint(url, "") as plain, pytest.raises(NotReady, match="503"):
        plain.models()


def test_one_that_stays_away_or_fails_by_itself_does() -> None:
    with answering(503) as (url, asked):
        with PatientEndpoint(url, "", patience_seconds=0) as patient, pytest.raises(NotReady, match="503"):
            patient.models()
        assert len(asked) == 1
    with answering(500, 200) as (url, asked):
        with PatientEndpoint(url, "", patience_seconds=60) as patient, pytest.raises(NotReady, match="500"):
            patient.models()
        assert len(asked) == 1
    nobody = PatientEndpoint("http://127.0.0.1:9", "", patience_seconds=0)
    with nobody, pytest.raises(NotReady, match="does not answer"):
        nobody.models()


@pytest.mark.parametrize("digest", [Digest("a" * 64), None], ids=["comes", "goes"])
def test_a_replica_that_is_away_for_a_moment_ends_no_push(digest: Digest | None) -> None:
    adapter = [{"id": "joke", "adapter": {"digest": digest}}] if digest else []
    roster = json.dumps({"data": [{"id": "base"}, *adapter], "remora": {}})
    with answering(503, 502, 200, page=roster) as (url, asked), Endpoint(url, "") as endpoint:
        wait_until_followed(
            endpoint, "joke", digest, former=None, replicas=1, timeout_seconds=60, progress=lambda _: None
        )
    assert len(asked) == 3
    with (
        answering(503) as (url, _),
        Endpoint(url, "") as endpoint,
        pytest.raises(NotReady, match="503"),
    ):
        wait_until_followed(
            endpoint, "joke", digest, former=None, replicas=1, timeout_seconds=0, progress=lambda _: None
        )


def test_of_several_replicas_every_one_must_have_followed() -> None:
    """The third answer comes from another replica, which has not looked at the share yet."""
    digest = Digest("a" * 64)
    late = iter([False, False, True])
    asked: list[float] = []

    class TwoReplicas(Endpoint):
        def roster(self) -> tuple[list[Json], Json]:
            asked.append(time.monotonic())
            adapter: list[Json] = [{"id": "joke", "adapter": {"digest": digest}}]
            return [{"id": "base"}, *([] if next(late, False) else adapter)], {}

    with TwoReplicas("http://127.0.0.1:9", "") as endpoint:
        wait_until_followed(
            endpoint, "joke", digest, former=None, replicas=2, timeout_seconds=60, progress=lambda _: None
        )
    assert asked[-1] - asked[3] >= 2  # since that one follows, too


@pytest.mark.parametrize("page", ["<h1>Hi</h1>", '{"detail": "Hi"}', '{"data": {}}', "[]", "null"])
def test_what_another_program_answers_is_no_roster(page: str) -> None:
    with answering(200, page=page) as (url, _), Endpoint(url, "") as endpoint:
        for ask in (endpoint.models, endpoint.roster):
            with pytest.raises(NotReady, match=f"another program answers at {url}|is not JSON"):
                ask()


@pytest.mark.parametrize(
    ("former", "kept", "command"),
    [
        (None, "all other adapters still serve", "remora adapters rm -C site joke"),
        (Digest("b" * 64), "joke@bbbbbbbbbbbb still serves", "remora adapters rollback -C site joke"),
    ],
)
def test_a_failed_push_names_the_command_that_takes_it_back(
    former: Digest | None, kept: str, command: str
) -> None:
    digest = Digest("a" * 64)
    failed = {"name": "joke", "digest": digest, "problem": "it has weights for 3 layers"}
    roster = {"data": [{"id": "base"}], "remora": {"failed": [failed]}}
    with (
        answering(200, page=json.dumps(roster)) as (url, _),
        Endpoint(url, "") as endpoint,
        pytest.raises(VerificationFailed) as refused,
    ):
        wait_until_followed(
            endpoint, "joke", digest, former=former, replicas=1, timeout_seconds=60, progress=lambda _: None
        )
    assert f"cannot be served, {kept}: it has weights for 3 layers" in refused.value.message
    hint = in_folder(refused.value.hint, Path("site"))
    assert hint == f"run: {command}"
    remora, *words = next_command(hint) or []
    assert remora == "remora"
    _, name, *rest = words
    parsed = get_command(adapters).commands[name].make_context(name, rest)  # type: ignore[attr-defined]
    assert parsed.params["name"] == "joke"


def test_a_proof_that_is_not_measured_in_time_says_so() -> None:
    """It passes, since it may be right; the person is warned, by name."""

    class Unmeasured(Endpoint):
        def models(self) -> list[Json]:
            return [
                {"id": "base"},
                {"id": "tone", "adapter": {"proof": {"state": "pending"}}},
                {"id": "joke"},
            ]

        def chat(self, model: str, *_: object, **__: object) -> Answer:
            return Answer(model, "joy", "", "stop", 1, 10.0)

    out = Output()
    digests = {"tone": Digest("a" * 64), "joke": Digest("b" * 64)}
    proofs = prove_adapters(
        Unmeasured("http://127.0.0.1:9", ""),
        digests,
        Golden(()),
        out.step,
        timeout_seconds=0,
        allow_unproven=False,
    )
    assert str(proofs["tone"]) == "pending: not measured in 0 s"
    documents = {name: proof_document(proof) for name, proof in proofs.items()}
    of_tone, of_joke = unknown_proofs(documents)
    assert "'tone'" in of_tone
    assert "not measured in 0 s" in of_tone
    assert "'joke'" in of_joke
    assert unknown_proofs({"tone": proof_document(Proof("proven", 0.4))}) == []


def test_more_replicas_may_take_longer_and_never_longer_than_the_wait() -> None:
    assert [patience_of(replicas, 1200) for replicas in (0, 1, 2)] == [120, RECOVERY_SECONDS, 240]
    assert patience_of(30, 1200) == 1200
