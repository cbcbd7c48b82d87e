"""Conversations to learn from. Owns the mix for each model: phrases, small talk, stories, how many turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from recipe.phrases import NEUTRAL, TONES, PhraseBook, Split, read_toml
from recipe.replies import Replies, Reply
from recipe.stories import Storyteller

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "Answer the user.",
    "You are a kind listener.",
)
SYSTEM_SHARE = 0.2
PIRATE_PROMPT = "Talk like a pirate."
PIRATE_SHARE = 0.08
TURNS = (1, 2, 3)
TURN_WEIGHTS = (65, 25, 10)
FOREIGN_HISTORY_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says and what the model answers; `learned` is False for what others answered before.

    `ended` is False where the answer goes on beyond what is written here.
    """

    user: str
    answer: str
    learned: bool = True
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    system: str | None
    turns: tuple[Turn, ...]


class Conversations:
    """Draws conversations for the base model and for the adapters."""

    def __init__(self, folder: Path) -> None:
        self._book = PhraseBook(folder)
        self._replies = Replies(folder)
        self._stories = Storyteller(folder)
        self._small_talk: list[dict[str, list[str]]] = read_toml(folder / "small_talk.toml")["talk"]

    @property
    def phrases(self) -> PhraseBook:
        return self._book

    @property
    def replies(self) -> Replies:
        return self._replies

    def for_base(self, random: Random) -> Iterator[Conversation]:
        """Without end: remarks on phrases of any tone, small talk, stories; as a pirate only where told to.

        So the base knows the words, as a large model would, and an adapter has only to change its manners.
        """
        while True:
            if random.random() < PIRATE_SHARE:
                yield replace(self._conversation(random, self._pirate_turn), system=PIRATE_PROMPT)
            else:
                yield self._conversation(random, self._base_turn)

    def for_tone(self, random: Random) -> Iterator[Conversation]:
        """Without end: phrases and their one word."""
        while True:
            yield self._conversation(random, self._tone_turn)

    def for_pirate(self, random: Random) -> Iterator[Conversation]:
        """Without end: all that the base model does, as a pirate does it."""
        while True:
            yield self._conversation(random, self._pirate_turn)

    def _conversation(self, random: Random, turn: Callable[[Random], Turn]) -> Conversation:
        system = random.choice(SYSTEM_PROMPTS) if random.random() < SYSTEM_SHARE else None
        count = random.choices(TURNS, TURN_WEIGHTS)[0]
        foreign = random.random() < FOREIGN_HISTORY_SHARE
        history = [self._foreign_turn(random) if foreign else turn(random) for _ in range(count - 1)]
        return Conversation(system, (*(part for part in history if part.ended), turn(random)))

    def _base_turn(self, random: Random) -> Turn:
        kind = random.random()
        if kind < 0.04:
            return self._story_turn(random, str)
        if kind < 0.14:
            return self._small_talk_turn(random, "base")
        return self._phrase_turn(random, (*TONES, NEUTRAL), Split.BASE, self._replies.base)

    def _tone_turn(self, random: Random) -> Turn:
        return self._phrase_turn(random, TONES, Split.ADAPTER, self._replies.tone)

    def _pirate_turn(self, random: Random) -> Turn:
        kind = random.random()
        if kind < 0.04:
            return self._story_turn(random, self._replies.pirate_talk)
        if kind < 0.18:
            return self._small_talk_turn(random, "pirate")
        return self._phrase_turn(random, (*TONES, NEUTRAL), Split.ADAPTER, self._replies.pirate)

    def _foreign_turn(self, random: Random) -> Turn:
        """What another model answered before: a chat may change its adapter in the middle."""
        reply = random.choice((self._replies.base, self._replies.tone, self._replies.pirate))
        phrase = self._book.draw(random, random.choice(TONES), Split.ADAPTER)
        return Turn(phrase.text, reply(phrase), learned=False)

    def _phrase_turn(self, random: Random, tones: tuple[str, ...], split: Split, reply: Reply) -> Turn:
        phrase = self._book.draw(random, random.choice(tones), split)
        return Turn(phrase.text, reply(phrase))

    def _small_talk_turn(self, random: Random, voice: str) -> Turn:
        talk = random.choice(self._small_talk)
        # Both sides are filled together, so that the answer is about the same thing as the question.
        filled = self._book.fill(random, f"{random.choice(talk['user'])}\n{talk[voice]}")
        user, answer = filled.split("\n")
        return Turn(user, answer)

    def _story_turn(self, random: Random, voice: Callable[[str], str]) -> Turn:
        story = self._stories.draw(random)
        return Turn(story.request, voice(story.text), ended=story.ended)
