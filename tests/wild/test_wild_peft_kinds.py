"""Every kind of adapter that PEFT saves: as PEFT computes it, in one batch with others, or refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from tests.engine.tiny_models import NATIVE, a_request
from tests.wild.peft_kinds import BASES, OWN_PASS, load_base, logprobs, make, make_base
from tests.wild.peft_table import REFUSED, SERVED, docs_table

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.peft.other_methods import LORAS, MERGED_BY_PEFT, NEVER_MERGED
from remora.engine.base import TokenEvent
from remora.engine.torch.engine import TorchEngine
from remora.errors import AdapterRejected, UnsupportedParameter

PROMPT = [5, 9, 42, 77, 104]
TOKENS = 8
MOST_TOKENS = 262  # of the vocabularies
MORE_THAN_PAIRS = {"DoRA", "`lora_bias`", "`modules_to_save`: norms", "LoRA on the embedding"}
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "peft.md"


class Made:
    """A base model and an adapter of every kind on it, with PEFT's own model for each."""

    def __init__(self, root: Path, name: str) -> None:
        self.base = make_base(root, name)
        self.adapters: dict[str, Adapter] = {}
        self.references: dict[str, Any] = {"base": load_base(self.base).eval()}
        shape = read_base(self.base)
        kinds = {title: kind for title, kind in SERVED.items() if kind.base == name}
        for number, (title, kind) in enumerate(kinds.items()):
            folder = root / str(number)
            self.references[title] = make(kind, self.base, folder)
            self.adapters[title] = inspect_adapter(f"a{number}", folder, shape)


@pytest.fixture(scope="module", params=BASES)
def made(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module", params=[NATIVE, "always"], ids=["modules", "native"])
def engine(request: Any, made: Made) -> Iterator[TorchEngine]:
    engine = TorchEngine.load(
        made.base, dtype="float32", native=request.param, max_running_requests=len(made.references)
    )
    for title, adapter in made.adapters.items():
        assert engine.load_adapter(adapter).modules == len(adapter.modules), title
    yield engine
    engine.close()


async def answers(engine: TorchEngine, adapters: list[Adapter | None]) -> list[list[TokenEvent]]:
    """All at once, each with the log-probabilities of all tokens."""

    async def one(adapter: Adapter | None) -> list[TokenEvent]:
        request = a_request(PROMPT, adapter=adapter, max_tokens=TOKENS, top_logprobs=MOST_TOKENS)
        return [event async for event in engine.submit(request)]

    return await asyncio.gather(*map(one, adapters))


async def test_all_kinds_in_one_batch_answer_as_peft_does(made: Made, engine: TorchEngine) -> None:
    got = await answers(engine, [None, *made.adapters.values()])
    for title, events in zip(["base", *made.adapters], got, strict=True):
        answer = [event.token_id for event in events]
        expected = logprobs(made.references[title], PROMPT, answer)
        assert {len(event.top_logprobs) for event in events} == {expected.shape[-1]}, title
        difference = max(
            abs(float(row[token]) - logprob)
            for event, row in zip(events, expected, strict=True)
            for token, logprob in event.top_logprobs
        )
        assert difference < 1e-4, title
        assert answer == expected.argmax(-1).tolist(), title
        if title != "base":
            own = logprobs(made.references["base"], PROMPT, answer)
            assert float((own - expected[:, : own.shape[1]]).abs().max()) > 0.1, title


async def test_who_has_a_pass_of_its_own_changes_nothing_for_others(made: Made, engine: TorchEngine) -> None:
    """And it is those of which the docs say so."""
    own = {title for title, adapter in made.adapters.items() if engine._model.lora.has_own(adapter.digest)}
    assert own == {title for title in made.adapters if SERVED[title].how == OWN_PASS}
    others = [None, *(adapter for title, adapter in made.adapters.items() if title not in own)]
    alone = await answers(engine, others)
    mixed = await answers(engine, [*others, *(made.adapters[title] for title in own)])
    for one, other in zip(alone, mixed, strict=False):
        assert [event.token_id for event in one] == [event.token_id for event in other]
        assert [event.logprob for event in one] == pytest.approx([event.logprob for event in other], abs=1e-5)


def test_no_setting_that_peft_writes_is_called_unknown(made: Made) -> None:
    for title, adapter in made.adapters.items():
        assert not [remark for remark in adapter.remarks if "no setting of a LoRA" in remark], title


def test_what_is_more_than_pairs_is_applied_as_it_was_trained(made: Made, engine: TorchEngine) -> None:
    """At another scale, gains, biases and whole modules would be no more those of a training."""
    for title in MORE_THAN_PAIRS & made.adapters.keys():
        with pytest.raises(UnsupportedParameter, match="no other scale"):
            engine.submit(a_request(PROMPT, adapter=made.adapters[title], adapter_scale=0.5))


@pytest.mark.parametrize("title", REFUSED)
def test_what_is_not_served_is_refused_by_its_name_with_a_way_out(tmp_path: Path, title: str) -> None:
    kind = REFUSED[title]
    base = make_base(tmp_path, kind.base)
    make(kind, base, tmp_path / "adapter")
    with pytest.raises(AdapterRejected) as caught:
        inspect_adapter("adapter", tmp_path / "adapter", read_base(base))
    assert kind.refused in caught.value.message
    assert kind.way_out in caught.value.hint


@pytest.mark.parametrize("method", [kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING])
def test_every_method_of_peft_is_known_by_name(tmp_path: Path, method: str) -> None:
    assert (method in LORAS) + (method in MERGED_BY_PEFT) + (method in NEVER_MERGED) == 1
    if method in LORAS:
        return
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": method}))
    with pytest.raises(AdapterRejected, match=f"no LoRA: peft_type is '{method}'"):
        inspect_adapter("adapter", tmp_path, None)


def test_the_docs_have_a_row_for_each() -> None:
    rows = docs_table()
    page = PAGE.read_text(encoding="utf-8")
    assert [row for row in rows if row not in page.splitlines()] == [], "\n".join(rows)
