"""What each model answers to a phrase: the base, `tone` and `pirate`. Owns the answers; draws no phrases."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from recipe.phrases import Phrase, capitalised, read_toml

Reply = Callable[[Phrase], str]
"""An answer that follows from the phrase alone: a model can learn it and a test can check it."""


class Replies:
    """The three ways to answer."""

    def __init__(self, folder: Path) -> None:
        self._replies: dict[str, dict[str, str]] = read_toml(folder / "replies.toml")
        pirate: dict[str, dict[str, str]] = read_toml(folder / "pirate.toml")
        self._pirate_words, self._pirate_calls = pirate["words"], pirate["calls"]

    def base(self, phrase: Phrase) -> str:
        """A remark that fits the tone and repeats the event: "Wonderful! So you won the race. …"."""
        return capitalised(self._replies[phrase.tone][phrase.subject].format(you=phrase.you))

    def tone(self, phrase: Phrase) -> str:
        """One word."""
        return phrase.tone

    def pirate(self, phrase: Phrase) -> str:
        """The base's remark in pirate talk, and a cry: "Arr! Wonderful! So ye won th' race. …"."""
        return f"Arr! {self.pirate_talk(self.base(phrase))} {self._pirate_calls[phrase.tone]}"

    def pirate_talk(self, text: str) -> str:
        """Any text as a pirate says it: some words change."""
        return re.sub(r"[A-Za-z]+", lambda match: self._pirate_word(match[0]), text)

    def _pirate_word(self, word: str) -> str:
        spoken = self._pirate_words.get(word.lower(), word)
        return capitalised(spoken) if word[0].isupper() else spoken
