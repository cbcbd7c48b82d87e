"""The bytes behind a token of a Hugging Face tokenizer. Owns the two spellings of bytes; knows no text.

Byte-level tokenizers (GPT-2, Llama 3, Qwen) spell each byte as one printable character, by the table of
GPT-2's `bytes_to_unicode`. The others (SentencePiece: Llama 2, Gemma, Mistral) spell a space as U+2581 and a
byte that is no character as `<0xE2>`.
"""

from __future__ import annotations

import re

BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
SPACE = "\u2581"


def byte_level_bytes(token: str) -> bytes:
    """The bytes of a byte-level token; a name that is no such spelling (a special token) as UTF-8."""
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError:
        return token.encode()


def sentencepiece_bytes(token: str) -> bytes:
    """The bytes of a SentencePiece token."""
    byte = BYTE_TOKEN.fullmatch(token)
    return bytes.fromhex(byte[1]) if byte else token.replace(SPACE, " ").encode()


def _byte_of() -> dict[str, int]:
    """Printable bytes stand for themselves; the rest, in their order, for the characters from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTE_OF = _byte_of()
