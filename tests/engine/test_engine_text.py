"""From tokens to text: whatever the tokens are, the pieces add up to the text, cut at the stop string."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers

from remora.engine.base import FinishReason, GenerationRequest, SamplingParams, TokenEvent
from remora.engine.echo import END_OF_TEXT, EchoEngine
from remora.engine.text.detokenizer import LONGEST_WAIT_TOKENS, Detokenizer
from remora.engine.text.pieces import TextEvent, TextRules, generate_text
from remora.engine.text.stop_strings import StopStrings
from remora.errors import ContextLengthExceeded, EngineFailed, InvalidInput


class Decoder:
    """The `decode` of a real tokenizer, over a vocabulary that the test chooses."""

    def __init__(self, pieces: Sequence[str], decoder: Any) -> None:
        vocabulary = {piece: index for index, piece in enumerate(pieces)}
        self._tokenizer = FastTokenizer(models.WordLevel(vocabulary, unk_token=pieces[0]))
        self._tokenizer.decoder = decoder

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids)))


def as_byte_characters(raw: bytes) -> str:
    """A byte string in the printable alphabet of byte-level BPE."""
    table = dict(zip(byte_alphabet(), sorted(pre_tokenizers.ByteLevel.alphabet()), strict=True))
    return "".join(table[byte] for byte in raw)


def byte_alphabet() -> list[int]:
    """Bytes in the order of the characters that stand for them: those that print stand for themselves."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return printing + [byte for byte in range(256) if byte not in printing]


def cut_bytes(text: str, cuts: Sequence[int]) -> list[bytes]:
    raw = text.encode()
    borders = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[start:stop] for start, stop in pairwise(borders)]


def deltas(decoder: Decoder, ids: Sequence[int]) -> list[str]:
    detokenizer = Detokenizer(decoder.decode)
    return [*(detokenizer.feed(token_id) for token_id in ids), detokenizer.flush()]


@given(st.text(max_size=30), st.lists(st.integers(0, 200)))
@example("a€𐍈é", [2, 3, 6])
def test_bytes_cut_anywhere_add_up(text: str, cuts: list[int]) -> None:
    pieces = [as_byte_characters(piece) for piece in cut_bytes(text, cuts)]
    vocabulary = list(dict.fromkeys(["?", *pieces]))
    decoder = Decoder(vocabulary, decoders.ByteLevel())
    ids = [vocabulary.index(piece) for piece in pieces]
    assert "".join(deltas(decoder, ids)) == text


@given(st.lists(st.sampled_from([*range(0x41, 0x45), 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xFF]), max_size=40))
@example([0xC3])
@example([0xE2, 0x82, 0x41])
def test_any_bytes_add_up_to_what_decoding_all_of_them_gives(raw: list[int]) -> None:
    vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = [vocabulary.index(as_byte_characters(bytes([byte]))) for byte in raw]
    decoder = Decoder(vocabulary, decoders.ByteLevel())
    assert "".join(deltas(decoder, ids)) == decoder.decode(ids)


SENTENCE_PIECES = ["▁a", "b", "▁", "▁été", "<0xE2>", "<0x82>", "<0xAC>", "▁▁", "c▁"]


@given(st.lists(st.sampled_from(["▁a", "b", "▁", "€", "▁▁", "c▁"]), max_size=20))
def test_a_decoder_that_looks_at_its_neighbours_adds_up(words: list[str]) -> None:
    """SentencePiece: the first space goes, and a character may come as a run of byte tokens."""
    decoder = Decoder(
        SENTENCE_PIECES,
        decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        ),
    )
    pieces = [
        piece for word in words for piece in (["<0xE2>", "<0x82>", "<0xAC>"] if word == "€" else [word])
    ]
    ids = [SENTENCE_PIECES.index(piece) for piece in pieces]
    assert "".join(deltas(decoder, ids)) == decoder.decode(ids)


def test_a_character_comes_when_it_is_whole_and_not_later() -> None:
    vocabulary = [as_byte_characters(bytes([byte])) for byte in "a€b".encode()]
    decoder = Decoder(vocabulary, decoders.ByteLevel())
    assert deltas(decoder, range(5)) == ["a", "", "", "€", "b", ""]


def test_bytes_that_never_become_a_character_do_not_wait_for_ever() -> None:
    decoder = Decoder([as_byte_characters(b"\xff")], decoders.ByteLevel())
    pieces = deltas(decoder, [0] * (LONGEST_WAIT_TOKENS + 1))
    assert pieces[LONGEST_WAIT_TOKENS - 1] == "\ufffd" * LONGEST_WAIT_TOKENS


def cut_at_first_stop(text: str, stops: Sequence[str]) -> str:
    """The plainest reading of the rule: look after every character whether a stop string is complete."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(
    st.lists(st.text("abc", max_size=4), max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
@example(["ab", "c"], ["abc"])
@example(["aab"], ["ab", "b"])
@example(["abcd"], ["bcd", "c"])
def test_the_first_stop_string_ends_the_text_however_it_is_cut(pieces: list[str], stops: list[str]) -> None:
    filter_ = StopStrings(stops)
    out = "".join(filter_.feed(piece) for piece in pieces)
    text = "".join(pieces)
    expected = cut_at_first_stop(text, stops)
    assert expected.startswith(out)
    assert out + filter_.flush() == expected
    assert filter_.hit == (expected != text)


@given(st.text("abx", max_size=12), st.text("ab", min_size=1, max_size=4))
def test_text_is_held_back_only_while_it_could_be_the_beginning_of_a_stop(text: str, stop: str) -> None:
    filter_ = StopStrings([stop])
    out = filter_.feed(text)
    held = filter_.flush()
    assert filter_.hit or out + held == text
    assert held == "" or (stop.startswith(held) and held != stop)


class ScriptedStream:
    """Gives its tokens, then ends; says whether it was closed."""

    def __init__(self, events: Sequence[TokenEvent]) -> None:
        self._events = iter(events)
        self.closed = False

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> TokenEvent:
        for event in self._events:
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


class ScriptedEngine(EchoEngine):
    """Answers with given tokens."""

    def __init__(self, events: Sequence[TokenEvent]) -> None:
        super().__init__()
        self.stream = ScriptedStream(events)

    def submit(self, _request: GenerationRequest) -> ScriptedStream:
        return self.stream


def tokens(text: str, reason: FinishReason | None = FinishReason.LENGTH) -> list[TokenEvent]:
    last = len(text) - 1
    return [TokenEvent(ord(c), reason if index == last else None) for index, c in enumerate(text)]


def a_request(prompt: str = "", max_tokens: int = 99) -> GenerationRequest:
    stop_token_ids = EchoEngine().tokenizer.stop_token_ids
    ids = tuple(map(ord, prompt))
    return GenerationRequest("test", ids, SamplingParams(max_tokens), stop_token_ids=stop_token_ids)


async def texts(engine: EchoEngine, stop: Sequence[str] = (), prompt: str = "") -> list[TextEvent]:
    return [event async for event in generate_text(engine, a_request(prompt), TextRules(stop))]


@given(st.text("ab \n", min_size=1, max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=2))
async def test_pieces_add_up_and_only_the_last_ends(answer: str, stops: list[str]) -> None:
    engine = ScriptedEngine(tokens(answer))
    events = await texts(engine, stops)
    expected = cut_at_first_stop(answer, stops)
    assert "".join(event.text for event in events) == expected
    assert [event.finish_reason for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1].finish_reason == (FinishReason.STOP if expected != answer else FinishReason.LENGTH)
    assert all(event.text for event in events[:-1])
    assert engine.stream.closed


async def test_tokens_after_a_stop_string_are_not_awaited() -> None:
    engine = ScriptedEngine(tokens("one STOP two"))
    last = (await texts(engine, ["STOP"]))[-1]
    assert (last.text, last.finish_reason, last.token_count) == ("", FinishReason.STOP, len("one STOP"))


async def test_a_stop_token_counts_but_is_no_text() -> None:
    engine = EchoEngine()
    events = await texts(engine, prompt="user: hi")
    end = TokenEvent(END_OF_TEXT, FinishReason.STOP)
    assert events == [
        TextEvent("h", None, 1, token_ids=(ord("h"),)),
        TextEvent("i", None, 2, token_ids=(ord("i"),)),
        TextEvent("", FinishReason.STOP, 3, token_ids=(END_OF_TEXT,), end=end),
    ]


async def test_what_was_held_back_comes_with_the_end() -> None:
    assert (await texts(ScriptedEngine(tokens("abS")), ["STOP"]))[-1] == TextEvent(
        "S", FinishReason.LENGTH, 3, token_ids=(ord("S"),)
    )


async def test_closing_the_text_cancels_the_request() -> None:
    engine = EchoEngine()
    text = generate_text(engine, a_request("hello"))
    assert (await anext(text)).text == "h"
    await text.aclose()
    assert engine.stats().cancelled_requests == 1
    assert engine.stats().running_requests == 0


async def test_a_stream_that_ends_without_a_reason_is_an_error() -> None:
    with pytest.raises(EngineFailed, match="without saying why"):
        await texts(ScriptedEngine(tokens("ab", reason=None)))


async def test_refusals_come_at_once() -> None:
    with pytest.raises(InvalidInput, match="stop string is empty"):
        generate_text(EchoEngine(), a_request(), TextRules(["x", ""]))
    with pytest.raises(ContextLengthExceeded):
        generate_text(EchoEngine(context_length=10), a_request("longer than that"))
