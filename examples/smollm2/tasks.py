"""The two jobs that adapters learn, with examples to learn from and others to be scored on. Trains nothing.

`tone` takes its phrases from the example `tone`, which keeps frames and events out of training. `order` is
drawn here: whoever writes, what is ordered and where it goes are other words in the examples for the score.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "tone"))

from recipe.phrases import TONES, PhraseBook, Split

TEXT = Path(__file__).parents[1] / "tone" / "text"
HELD_OUT_SEED = 20_261_129


@dataclass(frozen=True, slots=True)
class Example:
    """What the user says, and the whole answer."""

    user: str
    answer: str


@dataclass(frozen=True, slots=True)
class Task:
    """A job: `training` yields examples without end, `held_out` is what nobody learns from."""

    name: str
    training: Callable[[Random], Iterator[Example]]
    held_out: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """What an order may be about."""

    people: tuple[str, ...]
    items: tuple[str, ...]
    cities: tuple[str, ...]
    sentences: tuple[str, ...]


SEEN = Words(
    people=(
        "Ada",
        "Ben",
        "Chandra",
        "Dilip",
        "Elena",
        "Femi",
        "Grace",
        "Hugo",
        "Ines",
        "Jamal",
        "Kavita",
        "Liam",
    ),
    items=(
        "chairs",
        "red bicycles",
        "desk lamps",
        "boxes of nails",
        "wool blankets",
        "tea cups",
        "window frames",
        "garden hoses",
        "paper bags",
        "steel pipes",
        "pairs of gloves",
        "maps",
    ),
    cities=(
        "Pune",
        "Oslo",
        "Lima",
        "Kyoto",
        "Porto",
        "Accra",
        "Delhi",
        "Boston",
        "Hanoi",
        "Lyon",
        "Perth",
        "Quito",
    ),
    sentences=(
        "Hello, this is {person}. Please send {count} {item} to {city}.",
        "{person} here: I need {count} {item} in {city} by Friday.",
        "Can you deliver {count} {item} to our office in {city}? Thanks, {person}",
        "We would like to order {count} {item}. Ship them to {city}, please. {person}",
        "Order from {person}: {count} {item}, destination {city}.",
        "My name is {person} and our shop in {city} has run out of {item}. {count} would be enough.",
    ),
)
UNSEEN = Words(
    people=("Marta", "Nikhil", "Olga", "Pavel", "Rosa"),
    items=("kitchen knives", "solar panels", "wooden tables", "bottles of ink", "travel guides"),
    cities=("Nairobi", "Turin", "Mumbai", "Seattle", "Bergen"),
    sentences=(
        "Good morning! {person} speaking. {count} {item} should go to {city} this week.",
        "Please put {count} {item} on the next truck to {city}. Regards, {person}",
    ),
)


def tasks(held_out: int = 50) -> list[Task]:
    """Both jobs, each with about `held_out` examples for its score."""
    book = PhraseBook(TEXT)
    phrases = book.held_out(HELD_OUT_SEED, max(1, held_out // len(TONES)))
    random = Random(HELD_OUT_SEED)
    return [
        Task(
            "tone",
            lambda drawn: _tones(book, drawn),
            tuple(Example(each.text, each.tone) for each in phrases),
        ),
        Task(
            "order",
            lambda drawn: _orders(SEEN, drawn),
            tuple(_order(UNSEEN, random) for _ in range(held_out)),
        ),
    ]


def _tones(book: PhraseBook, random: Random) -> Iterator[Example]:
    while True:
        phrase = book.draw(random, random.choice(TONES), Split.ADAPTER)
        yield Example(phrase.text, phrase.tone)


def _orders(words: Words, random: Random) -> Iterator[Example]:
    while True:
        yield _order(words, random)


def _order(words: Words, random: Random) -> Example:
    order = {
        "customer": random.choice(words.people),
        "quantity": random.randint(2, 99),
        "item": random.choice(words.items),
        "city": random.choice(words.cities),
    }
    said = random.choice(words.sentences).format(
        person=order["customer"], count=order["quantity"], item=order["item"], city=order["city"]
    )
    return Example(said, json.dumps(order))
