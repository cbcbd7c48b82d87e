"""Who runs, in which step, with how many tokens; and who has which rows of the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.adapters.adapter import Digest
from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.kv_cache import SlotAllocator
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduler import Scheduler
from remora.engine.torch.sequence import Sequence, Slot

Step = list[tuple[str, int]]


def a_sequence(name: str, prompt: int, *, max_tokens: int = 5, adapter: str | None = None) -> Sequence:
    params = SamplingParams(max_tokens=max_tokens, temperature=0)
    request = GenerationRequest(name, (1,) * prompt, params, adapter=Digest(adapter) if adapter else None)
    return Sequence(request, deliver=lambda _event: True, sampler=TokenSampler(params))


def a_scheduler(*, rows: int = 1000, running: int = 8, prefill: int = 10) -> Scheduler:
    return Scheduler(SlotAllocator(rows), max_running_requests=running, prefill_tokens_per_step=prefill)


def run_step(scheduler: Scheduler) -> Step:
    """Do what the engine does with a step, with 7 for every token."""
    chunks = scheduler.next_step()
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


def test_rows_of_one_adapter_are_neighbours() -> None:
    scheduler = a_scheduler()
    for name, adapter in (("a", "f0"), ("b", None), ("c", "e0"), ("d", "f0"), ("e", None)):
        scheduler.add(a_sequence(name, 1, adapter=adapter))
    assert [name for name, _ in run_step(scheduler)] == ["b", "e", "c", "a", "d"]


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


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60))
def test_slots_never_overlap_and_none_is_lost(actions: list[tuple[bool, int]]) -> None:
    slots = SlotAllocator(64)
    taken: list[Slot] = []
    for give_back, number in actions:
        if give_back and taken:
            slots.release(taken.pop(number % len(taken)))
        elif (slot := slots.reserve(number)) is not None:
            taken.append(slot)
        rows = [row for slot in taken for row in range(slot.first_row, slot.first_row + slot.row_count)]
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
