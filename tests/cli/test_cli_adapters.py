"""Adapters pushed, pointed, rolled back and removed while two replicas answer; broken ones never get far.

One deployment of the example for the whole file; the tests build on one another in order.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.cli.command import Ran, User

from remora.adapters.adapter import Adapter
from remora.adapters.hash_cache import HashCache
from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.azure.profile import Clients, load_profile
from remora.azure.share.files import Share
from remora.cli.main import main
from remora.errors import Locked
from remora.project.toolkit.config import load_inference_config
from remora.rollout.share.adapter_versions import AdapterVersions, Changed
from remora.rollout.share.lock import locked

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
WEIGHTS = "adapter_model.safetensors"
# On a machine of one's own: 2 s and 50 requests a second (make adapters-hot); CI's is shared and small.
FOLLOW_SECONDS = float(os.environ.get("REMORA_TEST_FOLLOW_SECONDS", "10"))
REQUESTS_PER_SECOND = float(os.environ.get("REMORA_TEST_REQUESTS_PER_SECOND", "10"))
MOST_IN_FLIGHT = 6
MOST_LATE_SECONDS = 0.1  # what the load catches up with; the rest was never asked
SAME_NATS = 5e-4  # other requests in the batch move a number by less
SETTLE_SECONDS = 400.0  # within which a loaded machine must have done what takes a fraction of a second

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer of the load: when it was asked for, by whom it was answered.

    `second` is the log-probability of the second likeliest first token: two versions differ in it.
    """

    at_seconds: float
    status: int
    digest: str
    second: float = 0.0


@dataclass
class Load:
    """Asks the endpoint at a steady rate, each time over a new connection, until it is left."""

    url: str
    key: str
    model: str
    asked: list[Asked] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        headers = {"authorization": f"Bearer {self.key}", "connection": "close"}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=300)
        self._pool = ThreadPoolExecutor(MOST_IN_FLIGHT)
        self._free = threading.BoundedSemaphore(MOST_IN_FLIGHT)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._pool.shutdown()
        self._http.close()

    @property
    def per_second(self) -> float:
        return (len(self.asked) - 1) / (self.asked[-1].at_seconds - self.asked[0].at_seconds)

    def until(self, reached: Callable[[list[Asked]], bool]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not reached(self.asked):
            assert time.monotonic() < deadline, self.asked[-5:]
            time.sleep(0.02)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / REQUESTS_PER_SECOND, time.monotonic() - MOST_LATE_SECONDS)
            if self._free.acquire(blocking=False):  # a machine that is too slow is not buried in requests
                self._pool.submit(self._ask)

    def _ask(self) -> None:
        at = time.monotonic()
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Hooray"}],
            "max_tokens": 4,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 2,
        }
        try:
            answer = self._http.post("/chat/completions", json=body)
            self.asked.append(_answered(at, answer))
        except httpx.HTTPError:
            self.asked.append(Asked(at, 0, ""))
        finally:
            self._free.release()


def _answered(at_seconds: float, answer: httpx.Response) -> Asked:
    if not answer.is_success:
        return Asked(at_seconds, answer.status_code, "")
    document = answer.json()
    likeliest = document["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return Asked(at_seconds, answer.status_code, document["remora"]["digest"], likeliest[1]["logprob"])


@dataclass(frozen=True, slots=True)
class Site:
    """A user with a project whose endpoint runs."""

    user: User
    project: Path
    url: str
    key: str
    share: Path

    @property
    def versions(self) -> AdapterVersions:
        """Ours, in this process: under load a new one takes long to start."""
        config = load_inference_config(self.project)
        clients = Clients(load_profile("local", self.user.home), config.subscription_id or "")
        share = Share(
            clients, config.resource_group or "", config.storage_account or "", config.file_share or ""
        )
        return AdapterVersions(share)

    def adapter(self, name: str, folder: Path) -> Adapter:
        return inspect_adapter(name, folder, read_base(self.project / "base"))

    def hashes(self) -> HashCache:
        return HashCache(self.user.home / "test-hashes.json")

    def adapters(self, *arguments: str) -> Ran:
        """A command in this process, with its real exit code and output."""
        shown, said = io.StringIO(), io.StringIO()
        command = ["adapters", *arguments, "--project", str(self.project)]
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(shown), redirect_stderr(said):
            patched.setenv("REMORA_HOME", str(self.user.home))
            patched.setenv("REMORA_OUTPUT", "json")
            with pytest.raises(SystemExit) as ended:
                main(command)
        code = ended.value.code
        assert isinstance(code, int)
        return Ran(code, json.loads(shown.getvalue() or "{}"), said.getvalue())

    def ok(self, *arguments: str) -> dict[str, Any]:
        ran = self.adapters(*arguments)
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document

    def aliases(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.share / ".remora" / "aliases.json").read_text())
        return document

    def files(self) -> dict[str, int]:
        found = (path for path in self.share.rglob("*") if path.is_file() and path.name != "lock")
        return {path.relative_to(self.share).as_posix(): path.stat().st_mtime_ns for path in found}

    def changed_adapter(self, factor: float) -> Path:
        """The example's adapter with its effect multiplied: another digest, the same shape."""
        folder = self.project.parent / f"tone-{factor}"
        shutil.copytree(EXAMPLE / "adapters" / "tone", folder, dirs_exist_ok=True)
        tensors = load_file(folder / WEIGHTS)
        save_file(
            {n: t * np.float32(factor) if "lora_B" in n else t for n, t in tensors.items()}, folder / WEIGHTS
        )
        return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("adapters")
    project = folder / "tone"
    shutil.copytree(EXAMPLE, project)
    settings = project / "remora.toml"
    settings.write_text(settings.read_text() + "\n[scale]\nmin_replicas = 2\nmax_replicas = 2\n")
    user = User(folder / "home", {"OMP_NUM_THREADS": "1"})
    up = user.run("up", str(project), "--yes")
    assert up.code == 0, (up.document, up.stderr)
    config = json.loads((project / "infra" / "inference.config.json").read_text())
    share = user.home / "cloud" / "shares" / config["STORAGE_ACCOUNT_NAME"] / config["FILE_SHARE_NAME"]
    key = user.run("secrets", str(project)).document["api_key"]
    yield Site(user, project, up.document["endpoint"], key, share)
    user.run("cloud", "stop")


def test_push_alias_and_rollback_under_load_lose_no_request(site: Site) -> None:
    first = site.aliases()["tone"]["digest"]
    stronger, versions = site.changed_adapter(1.25), site.versions
    with Load(site.url, site.key, "tone") as load:
        load.until(lambda asked: len(asked) >= 10)
        pushed = versions.push(site.adapter("tone", stronger), site.hashes(), lambda *_: None)
        load.until(lambda asked: asked[-1].digest == pushed.after)
        rolled_back = versions.rollback("tone")
        load.until(lambda asked: asked[-1].digest == first)
        forth = versions.point("tone", str(pushed.after)[:12])
        load.until(lambda asked: asked[-1].digest == pushed.after)
    assert [pushed.before, pushed.after] == [first, forth.after]
    assert [rolled_back.before, rolled_back.after] == [pushed.after, first]
    assert {each.status for each in load.asked} == {200}
    by_digest = {each.digest for each in load.asked}
    assert by_digest == {first, pushed.after}
    told = {digest: [each.second for each in load.asked if each.digest == digest] for digest in by_digest}
    ranges = sorted((min(numbers), max(numbers)) for numbers in told.values())
    logger.info("%.0f requests a second; log-probabilities %s", load.per_second, ranges)
    assert all(high - low < SAME_NATS for low, high in ranges), "one version answered with another's cache"
    assert ranges[1][0] - ranges[0][1] > 10 * SAME_NATS


def test_both_replicas_follow_within_two_seconds(site: Site) -> None:
    """Measured from when the share says it to the last answer of the old, over many connections."""
    aliases = site.share / ".remora" / "aliases.json"
    before, versions = site.aliases()["tone"]["digest"], site.versions
    with Load(site.url, site.key, "tone") as load:
        load.until(lambda asked: len(asked) >= 5)
        versions.rollback("tone")
        ago = time.time() - aliases.stat().st_mtime
        said = time.monotonic() - ago
        load.until(lambda asked: all(each.digest != before for each in asked[-20:]))
        over = time.monotonic() + 1
        load.until(lambda asked: asked[-1].at_seconds > over)
    late = [each.at_seconds - said for each in load.asked if each.digest == before]
    logger.info("the last answer of the old one was asked for %.2f s after the change", max(late))
    assert max(late) < FOLLOW_SECONDS
    assert {each.status for each in load.asked} == {200}


def test_a_push_of_what_is_there_uploads_nothing(site: Site) -> None:
    before = site.files()
    same = site.ok("push", "tone", str(site.project / "adapters" / "tone"))
    assert (same["changed"], same["uploaded_files"], same["uploaded_bytes"]) == (False, 0, 0)
    assert site.files() == before
    other = site.ok("push", "mood", str(site.project / "adapters" / "tone"))
    assert other["to"] == same["to"]
    assert site.ok("alias", "mood2", other["to"])["to"] == same["to"]


def rejections(good: Path, make: Callable[[str], Path]) -> Iterator[tuple[str, Path]]:
    """A phrase of the refusal, and a folder broken in that way."""
    config = json.loads((good / "adapter_config.json").read_text())
    tensors = load_file(good / WEIGHTS)

    def broken(name: str, new: dict[str, Any] | None = None, **settings: object) -> Path:
        folder = make(name)
        (folder / "adapter_config.json").write_text(json.dumps({**config, **settings}))
        if new is not None:
            save_file(new, folder / WEIGHTS)
        return folder

    pickle = make("pickle")
    (pickle / WEIGHTS).rename(pickle / "adapter_model.bin")
    yield "a pickle, which can run code", pickle
    truncated = make("truncated")
    (truncated / WEIGHTS).write_bytes((good / WEIGHTS).read_bytes()[:-9])
    yield "truncated", truncated
    oversized = make("oversized")
    (oversized / WEIGHTS).write_bytes((1 << 40).to_bytes(8, "little") + bytes(64))
    yield "claims a header of", oversized
    yield "not asked for", broken("stray", tensors | {"model.extra.weight": np.ones(3)})
    yield "for modules that target_modules does not name", broken("none", target_modules=["no_such_layer"])
    zero = {name: np.zeros_like(t) if "lora_B" in name else t for name, t in tensors.items()}
    yield "has no effect", broken("zero", zero)
    narrow = {name: t[:, :-1] if "lora_A" in name else t for name, t in tensors.items()}
    yield "does not fit the base model", broken("shape", narrow)
    vocabulary = tensors | {"base_model.model.model.embed_tokens.weight": np.ones((999, 4), np.float32)}
    yield "which is no part of a LoRA", broken("vocabulary", vocabulary)
    yield "has no lora_magnitude_vector", broken("dora", use_dora=True)


def test_nine_broken_adapters_are_refused_each_in_its_own_words(site: Site, tmp_path: Path) -> None:
    good = site.project / "adapters" / "tone"

    def make(name: str) -> Path:
        return Path(shutil.copytree(good, tmp_path / name))

    before, said = site.files(), set()
    for phrase, folder in rejections(good, make):
        refused = site.adapters("push", "tone", str(folder))
        assert refused.code == 5, (phrase, refused)
        assert refused.document["error"]["code"] == "adapter_rejected"
        assert phrase in refused.message, refused.message
        said.add(refused.message.replace(str(folder), "FOLDER"))
    assert len(said) == 9
    assert site.files() == before


def test_an_adapter_that_names_another_base_is_served_with_a_warning(site: Site, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(site.project / "adapters" / "tone", tmp_path / "renamed"))
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "microsoft/phi-3-mini"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    pushed = site.adapters("push", "mood", str(folder))
    assert (pushed.code, pushed.document["followed"]) == (0, True)
    assert "mood: the adapter was trained on 'microsoft/phi-3-mini', and the base model in" in pushed.stderr


def test_two_writers_at_once_one_wins(site: Site) -> None:
    ready = threading.Barrier(2)

    def push(factor: float) -> Changed | Locked:
        adapter, versions = site.adapter("tone", site.changed_adapter(factor)), site.versions
        versions.aliases()
        ready.wait()
        try:
            return versions.push(adapter, site.hashes(), lambda *_: None)
        except Locked as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(push, (1.5, 1.75)))
    winners = [each.after for each in ended if isinstance(each, Changed)]
    assert site.aliases()["tone"]["digest"] in winners
    assert all("is locked by" in each.message for each in ended if isinstance(each, Locked))


def test_a_command_that_finds_the_share_locked_says_by_whom(site: Site) -> None:
    before = site.files()
    with locked(site.versions._share, "adapters push tone"):
        refused = site.adapters("rollback", "tone")
    assert refused.code == 9
    assert "'adapters push tone'" in refused.message
    assert site.files() == before


def test_what_is_removed_is_served_no_more_and_then_collected(site: Site) -> None:
    assert site.adapters("rm", "mood").code == 2
    site.ok("rm", "mood", "--yes")
    site.ok("rm", "mood2", "--yes")
    listed = site.ok("list")["adapters"]
    assert {each["name"]: each["state"] for each in listed if each["name"] == "mood"} == {"mood": "unused"}
    kept = [each for each in listed if each["state"] != "unused"]
    planned = site.ok("gc", "--grace-hours", "0", "--dry-run")
    assert site.ok("gc")["folders"] == []
    removed = site.ok("gc", "--grace-hours", "0")
    assert removed["folders"] == planned["folders"] != []
    left = site.ok("list")["adapters"]
    assert [each for each in left if each["state"] != "unused"] == kept
    assert not {"mood", "mood2"} & {each["name"] for each in left}
    answer = httpx.get(f"{site.url}/models", headers={"authorization": f"Bearer {site.key}"}).json()
    assert [card["id"] for card in answer["data"]] == ["tone-base", "pirate", "tone"]
    files = site.files()
    for part in ("models", "releases", "alias-sets"):  # what the running revision was made from
        assert any(path.startswith(f".remora/{part}/") for path in files), part


def test_the_history_tells_who_did_what(site: Site) -> None:
    events = site.ok("history", "--most", "100")["events"]
    assert {event["what"] for event in events} >= {
        "adapters push",
        "adapters rollback",
        "adapters alias",
        "adapters rm",
        "adapters gc",
    }
    mine = site.ok("history", "mood")["events"]
    assert mine[0]["what"] == "adapters rm"
    assert all(event["who"] and event["host"] and event["at"] for event in mine)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rollback", "nobody"), 3, "no adapter 'nobody'"),
        (("rm", "nobody", "--yes"), 3, "no adapter 'nobody'"),
        (("alias", "tone", "abcdef0123"), 3, "no adapter on the share has the digest"),
        (("alias", "tone", "abc"), 2, "too short"),
        (("push", "tone-base", "."), 2, "name of the base model"),
        (("push", "../tone", "adapters/tone"), 5, "cannot name an adapter"),
        (("push", "tone", "nowhere"), 5, "does not exist"),
    ],
)
def test_what_cannot_be_done_is_explained(
    site: Site, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = site.adapters(*arguments)
    assert (ran.code, said in ran.message) == (code, True), ran
