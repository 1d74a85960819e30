"""Sentences in pairs that mean alike, and what a search box really gets."""

from __future__ import annotations

from collections.abc import Iterator

TEXTS = (
    "A cat is sleeping on the sofa.",
    "The kitten naps on the couch.",
    "How do I reset my password?",
    "I forgot my login details and cannot get into my account.",
    "The stock market fell sharply after the central bank raised interest rates.",
    "Shares dropped when borrowing became more expensive.",
    "Heavy rain is expected in the north tomorrow.",
    "The forecast says that showers will reach the coast by morning.",
    "The function returns None when the key is missing.",
    "If the dictionary has no such entry, you get a null value back.",
    "Light takes about eight minutes to travel from the Sun to the Earth.",
    "The nearest star beyond the Sun is a little over four light years away.",
    "cheap flights lisbon march",
    "why is my wifi so slow???",
    "best laptop under 1000 euros",
    "Où puis-je acheter un billet pour le musée ?",
    "The treaty was signed in 1648 and ended thirty years of war. " * 4,
)


def texts() -> Iterator[dict[str, str]]:
    """One item a text."""
    for text in TEXTS:
        yield {"text": text}
