"""Who runs, in which step, with how many tokens; and who has which rows of the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.adapters.adapter import Digest
from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.cache.slots import Slot, SlotAllocator
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduling.scheduler import Scheduler
from remora.engine.torch.scheduling.sequence import Sequence

Step = list[tuple[str, int]]


def a_sequence(
    name: str,
    prompt: int | range,
    *,
    max_tokens: int = 5,
    adapter: str | None = None,
    scale: float = 1.0,
) -> Sequence:
    params = SamplingParams(max_tokens=max_tokens, temperature=0)
    prompt_ids = tuple(prompt) if isinstance(prompt, range) else (1,) * prompt
    digest = Digest(adapter) if adapter else None
    request = GenerationRequest(name, prompt_ids, params, adapter=digest, adapter_scale=scale)
    return Sequence(request, deliver=lambda _event: True, sampler=TokenSampler(params))


def a_scheduler(
    *,
    rows: int = 1000,
    running: int = 8,
    prefill: int = 10,
    growth: int = 128,
    keeps_prefixes: bool = False,
) -> Scheduler:
    return Scheduler(
        rows,
        max_running_requests=running,
        prefill_tokens_per_step=prefill,
        growth_rows=growth,
        keeps_prefixes=keeps_prefixes,
    )


def run_step(scheduler: Scheduler) -> Step:
    """Do what the engine does with a step, with 7 for every token."""
    chunks = scheduler.next_step().chunks
    step = [(chunk.sequence.request.request_id, chunk.count) for chunk in chunks]
    complete = [chunk.sequence for chunk in chunks if chunk.completes]
    for chunk in chunks:
        chunk.sequence.computed_count += chunk.count
    for sequence in complete:
        if sequence.append(7) is not None:
            scheduler.remove(sequence)
    return step


def steps_of(scheduler: Scheduler) -> list[Step]:
    steps = []
    while scheduler.has_work:
        steps.append(run_step(scheduler))
    return steps


def test_a_prompt_is_cut_and_then_decoded_token_by_token() -> None:
    scheduler = a_scheduler(prefill=10)
    scheduler.add(a_sequence("a", 23, max_tokens=3))
    assert steps_of(scheduler) == [[("a", 10)], [("a", 10)], [("a", 3)], [("a", 1)], [("a", 1)]]


def test_prompts_share_the_prefill_of_a_step_and_others_decode_beside_them() -> None:
    scheduler = a_scheduler(prefill=10)
    for name, prompt in (("a", 6), ("b", 9), ("c", 2)):
        scheduler.add(a_sequence(name, prompt, max_tokens=2))
    assert steps_of(scheduler) == [
        [("a", 6), ("b", 4)],
        [("a", 1), ("b", 5), ("c", 2)],
        [("b", 1), ("c", 1)],
    ]


def test_no_more_run_than_may() -> None:
    scheduler = a_scheduler(running=2)
    for name in "abc":
        scheduler.add(a_sequence(name, 1, max_tokens=2))
    assert steps_of(scheduler) == [[("a", 1), ("b", 1)], [("a", 1), ("b", 1)], [("c", 1)], [("c", 1)]]


def test_nobody_overtakes_a_request_that_waits_for_rows() -> None:
    scheduler = a_scheduler(rows=10)
    for name, prompt in (("first", 6), ("large", 7), ("small", 1)):
        scheduler.add(a_sequence(name, prompt, max_tokens=2))
    names = [[name for name, _ in step] for step in steps_of(scheduler)]
    assert names == [["first"], ["first"], ["large"], ["large"], ["small"], ["small"]]


def test_the_cancelled_are_found_wherever_they_are() -> None:
    scheduler = a_scheduler(running=1)
    running, waiting, other = a_sequence("a", 3), a_sequence("b", 3), a_sequence("c", 3)
    for sequence in (running, waiting, other):
        scheduler.add(sequence)
    run_step(scheduler)
    running.cancel()
    waiting.cancel()
    assert scheduler.cancelled() == [waiting, running]
    for sequence in scheduler.cancelled():
        scheduler.remove(sequence)
    assert run_step(scheduler) == [("c", 3)]


def test_a_slot_is_a_run_of_rows_and_comes_back() -> None:
    slots = SlotAllocator(10)
    first, second = slots.reserve(4), slots.reserve(6)
    assert (first, second, slots.reserve(1)) == (Slot(0, 4), Slot(4, 6), None)
    slots.release(Slot(0, 4))
    assert slots.reserve(5) is None
    slots.release(Slot(4, 6))
    assert slots.reserve(10) == Slot(0, 10)


def test_a_slot_takes_what_there_is_and_grows_where_it_lies() -> None:
    slots = SlotAllocator(20)
    first = slots.reserve(4, 6)
    second = slots.reserve(4, 100)  # all that is left
    assert (first, second) == (Slot(0, 6), Slot(6, 14))
    assert slots.extend(Slot(0, 6), 7, 9) is None
    assert slots.cut(Slot(6, 14), 5) == Slot(6, 5)
    assert slots.extend(Slot(6, 5), 6, 8) == Slot(6, 8)
    assert slots.extend(Slot(6, 8), 15, 20) is None
    assert slots.reserve(7, 8) is None
    assert slots.reserve(2, 8) == Slot(14, 6)


@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "release", "extend", "cut"]), st.integers(1, 30)), max_size=60
    )
)
def test_slots_never_overlap_and_none_is_lost(actions: list[tuple[str, int]]) -> None:
    slots = SlotAllocator(64)
    taken: list[Slot] = []
    for action, number in actions:
        if action == "reserve":
            slot = slots.reserve(max(1, number // 2), number)
            taken += [] if slot is None else [slot]
        elif taken:
            slot = taken.pop(number % len(taken))
            if action == "release":
                slots.release(slot)
            elif action == "extend":
                taken.append(slots.extend(slot, slot.row_count + 1, slot.row_count + number) or slot)
            else:
                taken.append(slots.cut(slot, number))
        rows = [row for slot in taken for row in range(slot.first_row, slot.stop_row)]
        assert len(rows) == len(set(rows))
        assert len(rows) + slots.free_row_count == 64
    for slot in taken:
        slots.release(slot)
    assert slots.reserve(64) == Slot(0, 64)


@pytest.mark.parametrize("prefill", [1, 3, 1000])
def test_every_token_goes_through_the_model_exactly_once(prefill: int) -> None:
    scheduler = a_scheduler(rows=60, running=3, prefill=prefill)
    for index in range(7):
        scheduler.add(a_sequence(str(index), 1 + 5 * index, max_tokens=4))
    counted: dict[str, int] = {}
    for step in steps_of(scheduler):
        for name, count in step:
            counted[name] = counted.get(name, 0) + count
    assert counted == {str(index): 5 * index + 4 for index in range(7)}  # the last token is not computed


def test_the_adapters_take_turns() -> None:
    scheduler = a_scheduler(running=1)
    for name in ("hot 1", "hot 2", "hot 3", "hot 4", "cold 1", "base 1", "cold 2"):
        adapter = {"hot": "f0", "cold": "e0", "base": None}[name.split()[0]]
        scheduler.add(a_sequence(name, 1, max_tokens=1, adapter=adapter))
    order = [name for step in steps_of(scheduler) for name, _ in step]
    assert order == ["hot 1", "cold 1", "base 1", "hot 2", "cold 2", "hot 3", "hot 4"]


def test_rows_that_nobody_uses_yet_make_room_for_others() -> None:
    scheduler = a_scheduler(rows=100, growth=10)
    scheduler.add(a_sequence("greedy", 5, max_tokens=95))
    run_step(scheduler)
    scheduler.add(a_sequence("modest", 5, max_tokens=5))
    assert sorted(run_step(scheduler)) == [("greedy", 1), ("modest", 5)]


def test_who_cannot_grow_steps_aside_and_goes_first_afterwards() -> None:
    scheduler = a_scheduler(rows=30, growth=4, prefill=100)
    old = a_sequence("old", 5, max_tokens=20)
    scheduler.add(old)
    run_step(scheduler)
    scheduler.add(a_sequence("new", 5, max_tokens=6))
    scheduler.add(a_sequence("late", range(20), max_tokens=10))
    steps = steps_of(scheduler)
    # `new` lies behind `old`, which cannot grow beyond it, waits for it, and computes all it had once more.
    again = next(index for index, step in enumerate(steps) if ("old", 1) not in step)
    assert ("old", 11) in steps[again + 1]
    assert len(old.tokens) == 25
    order = [name for step in steps for name, _ in step]
    assert order.index("late") > len(order) - 1 - order[::-1].index("old")


@pytest.mark.parametrize("keeps_prefixes", [False, True])
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from("ab")), max_size=12))
def test_nothing_is_lost_however_small_the_cache(
    keeps_prefixes: bool, requests: list[tuple[int, int, str]]
) -> None:
    scheduler = a_scheduler(rows=40, running=4, growth=2, keeps_prefixes=keeps_prefixes)
    sequences = [
        a_sequence(str(index), prompt, max_tokens=answer, adapter=adapter * 2)
        for index, (prompt, answer, adapter) in enumerate(requests)
    ]
    for sequence in sequences:
        scheduler.add(sequence)
    step_count = len(steps_of(scheduler))
    assert [len(sequence.tokens) for sequence in sequences] == [p + a for p, a, _ in requests]
    assert step_count <= 12 * 40
    assert scheduler.reserved_row_count == 0


def copies_and_counts(scheduler: Scheduler) -> tuple[list[int], dict[str, int]]:
    """Rows that the next step copies, and tokens that it computes."""
    step = scheduler.next_step()
    counts = {chunk.sequence.request.request_id: chunk.count for chunk in step.chunks}
    for chunk in step.chunks:
        chunk.sequence.computed_count += chunk.count
        if chunk.completes and chunk.sequence.append(7) is not None:
            scheduler.remove(chunk.sequence)
    return [copy.count for copy in step.copies], counts


def test_what_was_computed_is_copied_for_the_same_adapter_scale_and_tokens_only() -> None:
    scheduler = a_scheduler(prefill=100, keeps_prefixes=True)
    scheduler.add(a_sequence("first", range(40), max_tokens=1, adapter="f0"))
    assert copies_and_counts(scheduler) == ([], {"first": 40})
    for name, adapter, scale in (("other", "e0", 1.0), ("base", None, 1.0), ("scaled", "f0", 0.5)):
        scheduler.add(a_sequence(name, range(40), max_tokens=1, adapter=adapter, scale=scale))
        assert copies_and_counts(scheduler) == ([], {name: 40})
    again = a_sequence("again", range(40), max_tokens=1, adapter="f0")
    scheduler.add(again)
    assert copies_and_counts(scheduler) == ([39], {"again": 1})
    assert again.reused_count == 39
    scheduler.add(a_sequence("longer", range(60), max_tokens=1, adapter="f0"))
    assert copies_and_counts(scheduler) == ([40], {"longer": 20})
    scheduler.add(a_sequence("short", range(10), max_tokens=1, adapter="f0"))
    assert copies_and_counts(scheduler) == ([], {"short": 10})


def test_what_a_running_request_has_computed_serves_others() -> None:
    scheduler = a_scheduler(prefill=100, keeps_prefixes=True)
    scheduler.add(a_sequence("first", range(40)))
    copies_and_counts(scheduler)
    scheduler.add(a_sequence("second", range(50)))
    assert copies_and_counts(scheduler) == ([40], {"first": 1, "second": 10})


def test_what_is_kept_makes_room_oldest_first_and_goes_with_its_adapter() -> None:
    scheduler = a_scheduler(rows=100, prefill=200, keeps_prefixes=True)
    for adapter in ("a0", "b0", "c0"):
        scheduler.add(a_sequence(adapter, range(30), max_tokens=1, adapter=adapter))
        copies_and_counts(scheduler)
    scheduler.add(a_sequence("large", range(40, 68), max_tokens=1))
    copies_and_counts(scheduler)
    scheduler.forget(Digest("c0"))
    found = {}
    for adapter in ("a0", "b0", "c0"):
        scheduler.add(a_sequence(adapter, range(30), max_tokens=1, adapter=adapter))
        found[adapter] = copies_and_counts(scheduler)[1][adapter] == 1
    assert found == {"a0": False, "b0": True, "c0": False}
    assert scheduler.reserved_row_count == 0


def test_a_blocked_line_compares_no_tokens_and_drops_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = a_scheduler(rows=200, running=8, prefill=100, growth=10, keeps_prefixes=True)
    scheduler.add(a_sequence("kept", 20, max_tokens=1))
    run_step(scheduler)
    scheduler.add(a_sequence("long", range(100, 200), max_tokens=60))
    run_step(scheduler)
    scheduler.add(a_sequence("blocked", range(300, 390), max_tokens=5))
    compared = []
    monkeypatch.setattr(
        "remora.engine.torch.scheduling.prefix_cache._shared",
        lambda *_: compared.append("two lists of tokens"),
    )
    assert [run_step(scheduler) for _ in range(3)] == [[("long", 1)]] * 3
    assert not compared
    assert scheduler._prefixes.row_count == 20
    monkeypatch.undo()
    assert "blocked" in {name for step in steps_of(scheduler) for name, _ in step}


class Certain(Scheduler):
    """Looks for rows only where there are some."""

    def _find_rows(self, sequence: Sequence) -> Slot | None:
        slot = super()._find_rows(sequence)
        assert slot is not None
        return slot


@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=20),
    rows=st.integers(70, 150),
    growth=st.integers(1, 20),
)
def test_whether_there_are_rows_is_known_before_they_are_looked_for(
    sizes: list[tuple[int, int]], rows: int, growth: int
) -> None:
    scheduler = Certain(rows, max_running_requests=6, prefill_tokens_per_step=16, growth_rows=growth)
    for index, (prompt, answer) in enumerate(sizes):
        scheduler.add(a_sequence(str(index), range(index, index + prompt), max_tokens=answer))
    steps = steps_of(scheduler)
    assert {name for step in steps for name, _ in step} == {str(index) for index in range(len(sizes))}
