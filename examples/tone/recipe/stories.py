"""Stories that walk a road of places without end. Owns their sentences; asks for none.

The road is a ring and each place is always described alike, so a small model can learn it by heart; the
hero changes. A long story has no end: it shows streaming, and that a stop button stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from recipe.phrases import read_toml

DEFAULT_HERO_SHARE = 0.6
DEFAULT_PLACE_SHARE = 0.4
SHORT_STORY_PLACES = 2
LONG_STORY_PLACES = (5, 11)
VERY_LONG_STORY_PLACES = 15
VERY_LONG_SHARE = 0.12

OPENING = "Once upon a time {hero} came to the {name}. {sight}"
MEETINGS = (
    'There {hero} met {who}, who {doing}. "Where does this road lead?" asked {hero}. '
    '"To the {next}," was the answer. {hero} was given {gift} and walked on.',
    'At the gate stood {who}, who {doing}. "Take {gift} with you," said the voice, '
    '"for the {next} is far away." {hero} said thank you and followed the road.',
    "And who {doing}? It was {who}! They talked until the evening, and {hero} got {gift}. "
    "The next morning the way went on to the {next}.",
)
ARRIVAL = "So {hero} reached the {name}. {sight}"
ENDING = "But {hero} was tired, lay down under a tree and slept. The end."


@dataclass(frozen=True, slots=True)
class Story:
    """What was asked and what is told; a story that is not `ended` has no last word."""

    request: str
    text: str
    ended: bool


class Storyteller:
    """Tells stories about the heroes and places of the text files."""

    def __init__(self, folder: Path) -> None:
        road: dict[str, Any] = read_toml(folder / "places.toml")
        self._heroes: list[str] = road["heroes"]
        self._places: list[dict[str, str]] = road["place"]

    def draw(self, random: Random) -> Story:
        """A story, long or short, about somebody somewhere: as asked, else Mira at the mill."""
        hero = self._heroes[0] if random.random() < DEFAULT_HERO_SHARE else random.choice(self._heroes)
        start = 0 if random.random() < DEFAULT_PLACE_SHARE else random.randrange(len(self._places))
        ended = random.random() < 0.3
        request = random.choice(("Tell me a {size} story{about}", "Please tell me a {size} story{about}"))
        about = "" if hero == self._heroes[0] else f" about {hero}"
        about += "" if start == 0 else f" at the {self._places[start]['name']}"
        size = "short" if ended else random.choice(("long", "long", "very long"))
        request = request.format(size=size, about=about) + random.choice((".", "", "!"))
        return Story(request, self.tell(hero, start, self._length(random, ended=ended), ended=ended), ended)

    def tell(self, hero: str, start: int, places: int, *, ended: bool) -> str:
        """A hero's way past some places."""
        parts: list[str] = []
        for number in range(start, start + places):
            place = self._places[number % len(self._places)]
            following = self._places[(number + 1) % len(self._places)]["name"]
            arrival = OPENING if number == start else ARRIVAL
            meeting = MEETINGS[number % len(MEETINGS)]
            parts.append(f"{arrival} {meeting}".format(hero=hero, next=following, **place))
        return " ".join([*parts, ENDING.format(hero=hero)] if ended else parts)

    def _length(self, random: Random, *, ended: bool) -> int:
        if ended:
            return SHORT_STORY_PLACES
        return (
            VERY_LONG_STORY_PLACES
            if random.random() < VERY_LONG_SHARE
            else random.randint(*LONG_STORY_PLACES)
        )
