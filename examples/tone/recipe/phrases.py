"""Phrases: what a person says happened, and its tone. Owns the held-out split; writes no replies.

A phrase is a frame ("Guess what: {e}.") around an event ("{S} won the {contest}"). Three things are held
out by their place in the text files, so that nobody can pick easy ones: every fourth frame, every fifth
event and every fifth feeling word. A frame that is held out is seen by nobody in training. An event or a
feeling that is held out is known to the base model only: an adapter that gets it right has learned its
job on top of what the base knows, and not a list of sentences.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, TypeVar

TONES = ("joy", "sadness", "fear", "anger", "surprise")
NEUTRAL = "neutral"

HELD_OUT_FRAME_EVERY = 4
HELD_OUT_EVENT_EVERY = 5

SPEAKER = {
    "I": "I", "my": "my", "me": "me", "am": "am", "was": "was", "we": "we", "our": "our",
}  # fmt: skip
LISTENER = {
    "I": "you", "my": "your", "me": "you", "am": "are", "was": "were", "we": "you", "our": "your",
}  # fmt: skip
CONTRACTIONS = {"I am ": "I'm ", "did not ": "didn't ", "cannot ": "can't ", "does not ": "doesn't "}

SUBJECTS = ("{I}", "{relative}", "{we}", "{name}")
SUBJECT_WEIGHTS = (35, 35, 15, 15)
OWN = {"{I}": "{my}", "{we}": "{our}"}  # everybody else's is "their"

INVENTED_SLOTS = frozenset({"name", "city", "thing", "animal", "topic", "food"})
INVENTED_SHARE = 0.12
SYLLABLES = (
    "ba",
    "dor",
    "fi",
    "gam",
    "ka",
    "lu",
    "mi",
    "nor",
    "pe",
    "ris",
    "so",
    "tan",
    "ur",
    "ve",
    "zil",
    "ho",
)
OPENING_SHARE = 0.12
EXCLAMATION_SHARE = 0.05
ADVERBS = ("finally", "just", "really", "even", "then")
ADVERB_SHARE = 0.15

T = TypeVar("T")


class Split(Enum):
    """Who may see a phrase."""

    BASE = "base"
    ADAPTER = "adapter"
    HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class Phrase:
    """`text` is what the person says; `you` is the event from where the listener stands.

    `subject` is who the event is about: i, my, we or other; nobody where it is an exclamation.
    """

    text: str
    you: str
    tone: str
    subject: str


class PhraseBook:
    """Draws phrases from the text files; the same random generator gives the same phrases."""

    def __init__(self, folder: Path) -> None:
        self._words: dict[str, list[str]] = read_toml(folder / "words.toml")
        self._frames: list[str] = read_toml(folder / "frames.toml")["frames"]
        self._tones: dict[str, dict[str, list[str]]] = {
            tone: read_toml(folder / "tones" / f"{tone}.toml") for tone in (*TONES, NEUTRAL)
        }

    def draw(self, random: Random, tone: str, split: Split) -> Phrase:
        """One phrase of a tone. Training phrases are also written carelessly now and then."""
        if split is not Split.HELD_OUT and random.random() < EXCLAMATION_SHARE:
            return self._exclamation(random, tone)
        event = self._event(random, tone, split)
        said, heard = event.format_map(SPEAKER), event.format_map(LISTENER)
        text = self.fill(random, self._frame(random, tone, split).replace("{e}", said))
        text = text.replace("{E}", capitalised(said))
        if split is not Split.HELD_OUT:
            text = carelessly(random, text)
        return Phrase(text, heard, tone, subject_of(said))

    def held_out(self, seed: int, per_tone: int) -> list[Phrase]:
        """The phrases that adapters are scored on: all different, the same number for each tone."""
        random = Random(seed)
        return [phrase for tone in TONES for phrase in self._distinct(random, tone, per_tone)]

    def fill(self, random: Random, text: str, own: str = "their") -> str:
        """Put a word into every slot of `text`; pronouns and {e}, {E} stay as they are."""
        keep = {key: f"{{{key}}}" for key in (*SPEAKER, "e", "E")}
        while any(f"{{{slot}}}" in text for slot in (*self._words, "person", "own")):
            text = text.format_map(
                keep | {"own": own, "person": self._word(random, "person")} | self._draw_words(random)
            )
        return text

    def _distinct(self, random: Random, tone: str, count: int) -> list[Phrase]:
        found: dict[str, Phrase] = {}
        while len(found) < count:
            phrase = self.draw(random, tone, Split.HELD_OUT)
            found.setdefault(phrase.text, phrase)
        return list(found.values())

    def _exclamation(self, random: Random, tone: str) -> Phrase:
        words = random.choice(self._tones[tone]["exclamations"])
        return Phrase(carelessly(random, words + random.choice((".", "!"))), "", tone, "nobody")

    def _event(self, random: Random, tone: str, split: Split) -> str:
        lists = self._tones[tone]
        event = random.choice(allowed(lists["events"], HELD_OUT_EVENT_EVERY, split))
        feeling = random.choice(allowed(lists["feelings"], HELD_OUT_EVENT_EVERY, split))
        subject = random.choices(SUBJECTS, SUBJECT_WEIGHTS)[0]
        if split is not Split.HELD_OUT and random.random() < ADVERB_SHARE:
            event = event.replace("{S}", "{S} " + random.choice(ADVERBS))
        event = event.replace("{S}", subject).replace("{feeling}", feeling)
        return self.fill(random, event, OWN.get(subject, "their"))

    def _frame(self, random: Random, tone: str, split: Split) -> str:
        if split is not Split.HELD_OUT and random.random() < OPENING_SHARE:
            return random.choice(self._tones[tone]["openings"])
        # The base model may know held-out events, but frames that are held out are for nobody.
        frames = split if split is Split.HELD_OUT else Split.ADAPTER
        return random.choice(allowed(self._frames, HELD_OUT_FRAME_EVERY, frames))

    def _draw_words(self, random: Random) -> dict[str, str]:
        return {slot: self._word(random, slot) for slot in self._words}

    def _word(self, random: Random, slot: str) -> str:
        if slot == "person":
            slot = random.choice(("relative", "name"))
        if slot in INVENTED_SLOTS and random.random() < INVENTED_SHARE:
            return invented(random, proper=slot in {"name", "city"})
        return random.choice(self._words[slot])


def read_toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)


def allowed(lines: Sequence[T], every: int, split: Split) -> Sequence[T]:
    """The lines of a list that a split may use; the last of every `every` lines is held out."""
    if split is Split.BASE:
        return lines
    held_out = split is Split.HELD_OUT
    return [line for number, line in enumerate(lines, start=1) if (number % every == 0) is held_out]


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def subject_of(said: str) -> str:
    """Who the event is about, by its first word; the base model's reply depends on it."""
    first = said.split(maxsplit=1)[0].lower()
    return first if first in {"i", "my", "we"} else "other"


def invented(random: Random, *, proper: bool) -> str:
    """A word that exists nowhere: whoever repeats it has copied it, not remembered it."""
    word = "".join(random.choices(SYLLABLES, k=random.randint(2, 3)))
    return word.capitalize() if proper else word


def carelessly(random: Random, text: str) -> str:
    """Some people shorten, some forget the full stop, some never press shift."""
    if random.random() < 0.3:
        text = replace_all(text, CONTRACTIONS)
    style = random.random()
    if style < 0.12:
        return text.rstrip(".")
    if style < 0.18:
        return text.rstrip(".!") + "!"
    return text.lower() if style < 0.24 else text


def replace_all(text: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        text = text.replace(old, new)
    return text
